"""TOML files: reads them, and finds the line of a mistake.

tomllib does not tell on which line something stands.  That is found by reading the
statements one by one: where there is a mistake, and of the keys in tables of queues.
"""

from __future__ import annotations

import codecs
import os
import re
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from memq.display import quoted
from memq.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes that a file may have.
LARGEST = 1024 * 1024

#: Tokens that tell where a statement ends: strings and comments as a whole, ends of
#: lines, and the brackets in which those mean nothing.
_TOKEN = re.compile(
    r'''"""(?:[^"\\]|\\.|"{1,2}(?!"))*+"{3,5}|"(?:[^"\\]|\\.)*+"|'''
    r"""'''(?:[^']|'{1,2}(?!'))*+'{3,5}|'[^']*'|#[^\n]*|[\n[\]{}]""",
    re.DOTALL,
)


#: Statements as most are: the line of a table in a table, and a key.
_TABLE = re.compile(
    r"[ \t]*\[[ \t]*([A-Za-z0-9_-]+)[ \t]*\."
    r'[ \t]*(?:"([^"\\]*)"|([A-Za-z0-9_-]+))[ \t]*\][ \t]*(?:#|$)'
)
_KEY = re.compile(r"[ \t]*([A-Za-z0-9_-]+)[ \t]*=")


#: Where something stands: names of tables and keys, and numbers of tables of one name.
Key = str | int


class TOMLFile(NamedTuple):
    """The text of a file.

    :ivar path: as it was given.
    :ivar mode: its permissions when it was read, 0 if it is not known.
    """

    path: str
    text: str
    mode: int = 0

    @classmethod
    def read(cls, path: str) -> TOMLFile:
        """Return the file at ``path``; raise ConfigError when it cannot be read."""
        try:
            with open(path, "rb") as file:
                data = file.read(LARGEST + 1)
                mode = os.fstat(file.fileno()).st_mode
        except OSError as error:
            raise ConfigError(path, None, error.strerror or str(error)) from None
        return cls.decode(path, data, mode)

    @classmethod
    def decode(cls, path: str, data: bytes, mode: int = 0) -> TOMLFile:
        """Return what a file has; raise ConfigError when it can be none."""
        data = data.removeprefix(codecs.BOM_UTF8)
        if len(data) > LARGEST:
            why = f"has more than {LARGEST} bytes: no configuration file"
            raise ConfigError(path, None, why)
        try:
            return cls(path, data.decode("utf-8").replace("\r\n", "\n"), mode)
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise ConfigError(path, line, "is not UTF-8") from None

    def parse(self) -> dict[str, Any]:
        """Return what TOML makes of it; raise ConfigError when it is no TOML."""
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

    def refuse(self, what: str, why: str, *keys: Key) -> NoReturn:
        """Raise ConfigError: say that ``what`` cannot be, and on which line it begins.

        :param keys: where it stands: the table, the table in that, the key.
        """
        raise ConfigError(self.path, self.line(*keys), f"{what}: {why}")

    def line(self, *keys: Key) -> int:
        """Return the line on which something begins that stands there.

        :param keys: as for ``refuse``.
        """
        # A statement says what TOML makes of it, so values of several lines, dotted
        # keys and quoted ones are no matter.
        lines = [line for line, isSet in _look(self.text, keys) if isSet]
        return lines[0]


def keyLines(text: str, table: str) -> dict[str, dict[str, int]]:
    """Return the line of each key in each table below a table, of what is TOML.

    Where a key stands in several lines, as ``a.b.c`` does, it is the first one.
    """
    found: dict[str, dict[str, int]] = {}
    within: tuple[str, ...] = ()
    for line, statement in _statements(text):
        key = _KEY.match(statement)
        if key and len(within) == 2 and within[0] == table:
            found.setdefault(within[1], {}).setdefault(key[1], line)
            continue
        plain = _TABLE.match(statement)
        if plain:
            within = plain[1], plain[2] or plain[3] or ""
            continue
        value = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            within = _tableNamed(value)
            continue
        for each in reversed(within):
            value = {each: value}
        for name, keys in _tables(value.get(table)):
            for each in keys:
                found.setdefault(name, {}).setdefault(each, line)
    return found


def tableLines(text: str, name: str) -> list[int]:
    """Return the line of each [[name]] in what is TOML."""
    begins = re.compile(rf"[ \t]*\[\[[ \t]*([\"']?){name}\1[ \t]*\]\]").match
    return [line for line, statement in _statements(text) if begins(statement)]


def _tables(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the tables in what may be one, with their names."""
    for name, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, dict):
            yield name, inner


def _look(text: str, keys: tuple[Key, ...]) -> Iterator[tuple[int, bool]]:
    """Yield for each statement its first line, and whether it sets a key."""
    table: tuple[Key, ...] = ()
    # How many there are so far of each name that tables have, [[name]].
    counts: dict[str, int] = {}
    for line, statement in _statements(text):
        value = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = first, *rest = _tableNamed(value)
            if not rest and statement.lstrip().startswith("[["):
                counts[first] = counts.get(first, 0) + 1
            if first in counts:
                table = (first, counts[first] - 1, *rest)
            yield line, table[: len(keys)] == keys
        else:
            isHere = keys[: len(table)] == table
            yield line, isHere and _has(value, keys[len(table) :])


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield the statements of what is TOML, each with the line on which it begins."""
    line = 1
    start = depth = 0
    for token in _TOKEN.finditer(text):
        if token[0] == "\n" and depth == 0:
            statement = text[start : token.start()]
            yield line, statement
            line += statement.count("\n") + 1
            start = token.end()
        depth += (token[0] in "[{") - (token[0] in "]}")
    yield line, text[start:]


def _tableNamed(value: Any) -> tuple[str, ...]:
    """Return the name of a table, of what TOML makes of its [line]."""
    names = []
    while isinstance(value, dict) and value:
        ((name, value),) = value.items()
        names.append(name)
    return tuple(names)


def _has(value: Any, keys: tuple[Key, ...]) -> bool:
    for each in keys:
        if isinstance(value, list):
            value = dict(enumerate(value))
        if not isinstance(value, dict) or each not in value:
            return False
        value = value[each]
    return True


def shown(value: Any) -> str:
    """Return a value in one line, much as it stands in the file."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        # Python refuses to write very long ones in digits.
        return str(value) if value.bit_length() < 256 else "a huge number"
    if isinstance(value, list):
        return "[...]"
    return "{...}" if isinstance(value, dict) else str(value)
