"""A TOML file: read, and a mistake in it told with its line.

tomllib does not tell on which line something stands.  When there is a mistake, that is
found by reading the file's beginnings.
"""

from __future__ import annotations

import codecs
import json
import re
import tomllib
from bisect import bisect_left
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn

from memq.errors import ConfigError

#: Bytes that a file may have.
LARGEST = 1024 * 1024

#: Letters of a value that are shown.
_SHOWN = 60


class TOMLFile(NamedTuple):
    """The text of a file, and the path as it was given."""

    path: str
    text: str

    @classmethod
    def read(cls, path: str) -> TOMLFile:
        """Return the file at ``path``.

        :raise memq.errors.ConfigError: when it cannot be read, or is no text.
        """
        return cls(path, _read(path))

    def parse(self) -> dict[str, Any]:
        """Return what TOML makes of it.

        :raise memq.errors.ConfigError: when it is no TOML.
        """
        try:
            return tomllib.loads(self.text)
        except RecursionError:
            raise ConfigError(self.path, None, "is nested too deeply") from None
        except ValueError as error:
            why = " ".join(str(error).split())
            found = re.search(r" \(at line (\d+), column (\d+)\)$", why)
            if found is None:
                raise ConfigError(self.path, None, why) from None
            why = f"{why[: found.start()]} (column {found[2]})"
            raise ConfigError(self.path, int(found[1]), why) from None

    def refuse(self, what: str, why: str, *keys: str) -> NoReturn:
        """Say that ``what`` cannot be, and on which line it is.

        :param keys: where it stands: the table, the table in that, the key.
        :raise memq.errors.ConfigError: always.
        """
        raise ConfigError(self.path, self._lineOf(keys), f"{what}: {why}")

    def _lineOf(self, keys: tuple[str, ...]) -> int:
        """Return the line on which the first statement begins that sets a key.

        What the first statements say is what TOML makes of them, so values of several
        lines, dotted keys and quoted ones are no matter.
        """
        lines = self.text.split("\n")
        ends = [0]
        for count in range(1, len(lines) + 1):
            with suppress(ValueError):
                tomllib.loads("\n".join(lines[ends[-1] : count]))
                ends.append(count)

        def isSet(end: int) -> bool:
            value: Any = tomllib.loads("\n".join(lines[:end]))
            for each in keys:
                if each not in value:
                    return False
                value = value[each]
            return True

        return ends[bisect_left(ends, True, key=isSet) - 1] + 1


def _read(path: str) -> str:
    """Return the text of a file.

    :raise memq.errors.ConfigError: when it cannot be read, or is no text.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1).removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise ConfigError(path, None, error.strerror or str(error)) from None
    if len(data) > LARGEST:
        why = f"has more than {LARGEST} bytes: no configuration file"
        raise ConfigError(path, None, why)
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(path, line, "is not UTF-8") from None


def key(name: str) -> str:
    """Return a key as TOML has it."""
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else _quoted(name)


def shown(value: Any) -> str:
    """Return a value in one line, much as it stands in the file."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        # Python refuses to write very long ones in digits.
        return str(value) if value.bit_length() < 256 else "a huge number"
    if isinstance(value, list):
        return "[...]"
    return "{...}" if isinstance(value, dict) else str(value)


def _quoted(text: str) -> str:
    """Return a text in quotes, in one line."""
    short = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    return json.dumps(short, ensure_ascii=not short.isprintable())
