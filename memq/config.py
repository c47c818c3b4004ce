"""The configuration file: read, checked, and said in one line what is wrong with it.

It is TOML.  [server] has the options of the command line under their long names:
those that take a value, flags as true or false, ``verbose`` as a number, ``endpoint``
as a list.  Values go through the parsers that the command line uses (settings.py), so
there is one set of rules; what the command line says goes before, see options.py.

A file is taken as a whole or not at all, and what it says does not change afterwards.
tomllib does not tell on which line something stands.  When there is a mistake, that is
found by reading the file's beginnings.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import tomllib
from bisect import bisect_left
from contextlib import suppress
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from memq.errors import ConfigError
from memq.settings import FLAGS, OPTIONS, WHOLE, Option, number

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What is read when nothing is said, if it is there.
DEFAULT = "/etc/memq/memq.toml"
#: Bytes that a file may have.
LARGEST = 1024 * 1024

#: What can be said on the command line only.
_ELSEWHERE = {"config", "no-config", "help", "version"}
_VERBOSE = Option("verbose", "v", "0", number(0, 2), "what is logged", WHOLE)
_OPTIONS = {each.name: each for each in (*OPTIONS, _VERBOSE)}
_FLAGS = {flag.name for flag in FLAGS}
#: Every name that [server] may have.
SERVER = sorted({*_OPTIONS, *_FLAGS, "endpoint"} - _ELSEWHERE)

#: Letters of a value that are shown.
_SHOWN = 60


class Config(NamedTuple):
    """What a configuration file says.

    :ivar path: where it is, absolute; None when none was read.
    :ivar server: the options that stand in [server], under their long names, with the
        values that the command line would give them.
    """

    path: str | None = None
    server: Mapping[str, Any] = MappingProxyType({})


def findConfig(path: str | None) -> Config:
    """Return what the file at ``path`` says, or the one at DEFAULT, if it is there.

    :param path: None for the latter; an empty Config is returned if it is not there.
    :raise memq.errors.ConfigError: when the file cannot be read, or be taken as it is.
    """
    if path is None:
        path = DEFAULT
        try:
            os.lstat(path)
        except FileNotFoundError:
            return Config()
        except OSError:
            pass  # Perhaps it is there: reading it tells why it cannot be read.
    return readConfig(path)


def readConfig(path: str) -> Config:
    """Return what a file says.

    :raise memq.errors.ConfigError: when it cannot be read, or be taken as it is.
    """
    source = _Source(path, _read(path))
    tables = source.parse()
    for name, value in tables.items():
        if name != "server":
            why = "is not known here; "
            if isinstance(value, dict):
                source.refuse(f"[{_key(name)}]", why + "there is [server]", name)
            why += "options stand below [server]"
            source.refuse(f"{_key(name)} = {_shown(value)}", why, name)
    server = tables.get("server", {})
    if not isinstance(server, dict):
        source.refuse(f"server = {_shown(server)}", "must be one table", "server")
    values = {}
    for name, value in server.items():
        try:
            values[name] = _value(name, value)
        except ValueError as error:
            what = f"{_key(name)} = {_shown(value)}"
            source.refuse(what, str(error), "server", name)
    return Config(os.path.abspath(path), MappingProxyType(values))


def _read(path: str) -> str:
    """Return the text of a file."""
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


class _Source(NamedTuple):
    """The text of a file, and the path as it was given."""

    path: str
    text: str

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

    def refuse(
        self, what: str, why: str, table: str, key: str | None = None
    ) -> NoReturn:
        """Say that ``what`` cannot be, and on which line it is.

        :raise memq.errors.ConfigError: always.
        """
        line = self._lineOf(table, key)
        raise ConfigError(self.path, line, f"{what}: {why}")

    def _lineOf(self, table: str, key: str | None) -> int:
        """Return the line on which the first statement begins that sets a key.

        What the first statements say is what TOML makes of them, so values of several
        lines, dotted keys and quoted ones are no matter.

        :param key: None for the table itself.
        """
        lines = self.text.split("\n")
        ends = [0]
        for count in range(1, len(lines) + 1):
            with suppress(ValueError):
                tomllib.loads("\n".join(lines[ends[-1] : count]))
                ends.append(count)

        def isSet(end: int) -> bool:
            tables = tomllib.loads("\n".join(lines[:end]))
            return table in tables if key is None else key in tables.get(table, {})

        return ends[bisect_left(ends, True, key=isSet) - 1] + 1


def _value(name: str, value: Any) -> Any:
    """Return the value of an option, of what TOML has made of it.

    :raise ValueError: with what is allowed, when it is not.
    """
    if name in _ELSEWHERE:
        raise ValueError("can be given on the command line only")
    if name in _FLAGS:
        if type(value) is bool:
            return value
        raise ValueError("must be true or false")
    if name == "endpoint":
        if type(value) is list and all(type(each) is str for each in value):
            return tuple(value)
        raise ValueError("must be a list of texts in quotes, [...]")
    if name in _OPTIONS:
        return _parse(_OPTIONS[name], value)
    near = get_close_matches(name, SERVER, 1)
    what = f"the nearest is {near[0]}" if near else f"there are {', '.join(SERVER)}"
    raise ValueError(f"is no option; {what}")


def _parse(option: Option, value: Any) -> Any:
    """Return the value of an option that takes one.

    :raise ValueError: with what is allowed, when it is not.
    """
    if type(value) in option.kinds:
        return option.parse(value if isinstance(value, str) else _shown(value))
    hint = ""
    if option.kinds == (str,):
        hint = ", in quotes"
    elif isinstance(value, str):
        hint = ", without quotes"
    try:
        # No option allows this, so its words are had.
        return option.parse("\0")
    except ValueError as error:
        raise ValueError(f"{error}{hint}") from None


def _key(name: str) -> str:
    """Return a key as TOML has it."""
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else _quoted(name)


def _shown(value: Any) -> str:
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
