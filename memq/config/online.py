"""Online rules: those that clients make while the server runs.

They stand in HOME/memq/rules.toml, in tables as the configuration file has them, and
are read behind it: so they count more, but for what that locks.  In memory, without a
home, they are gone with the server.

The file is written whole: beside the old one, synced, read back, and then put in its
place.  So a crash or a full disk leaves the old file or the new one.  What is read back
has to be what was written, byte by byte; and each table that is new is read as TOML,
and has to be what was meant.  To read ten thousand of them would take half a second,
and is not needed: tables of different names mean together what each means by itself.

A file that somebody changed by hand is not written over: a reload reads it first.  One
with a mistake is refused as the configuration file is, also at the start: without its
rules the server would drop, keep or hand out what it should not.
"""

from __future__ import annotations

import errno
import os
import tomllib
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.logger import Logger

from memq.config.file import queueTables, ruleValue
from memq.config.ruletext import tableText, tomlValue
from memq.config.toml import LARGEST, TOMLFile
from memq.display import SHOWN, tomlKey
from memq.errors import ConfigError, DamagedHome, RulesNotKept, RulesRefused
from memq.policy.rule import isPattern
from memq.policy.rules import NOWHERE, RuleError, Rules, Table
from memq.storage.datadir.damage import RULES
from memq.storage.datadir.files import replaceFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from memq.storage.datadir.home import Home

_log = Logger()

#: How it begins.
_HEAD = (
    b"# Rules of queues that were set online (rule set, memq rules), read behind the\n"
    b"# configuration file.  memq writes this file whole, and keeps no comments.\n\n"
)
#: What to do with one that cannot be taken.
_ADVICE = (
    "mend it, bring it back from a backup, or start with --skip-damaged, which sets it "
    "aside"
)
_HEAD_LINES = _HEAD.count(b"\n")


class Change(NamedTuple):
    """A change of one table.

    :ivar name: that of the table.
    :ivar values: the keys to set, with their values.
    :ivar removed: the keys to remove; None for all the others.
    """

    name: bytes
    values: Mapping[str, Any] = MappingProxyType({})
    removed: Sequence[str] | None = ()


class Book(NamedTuple):
    """Online rules as they stand in the file.

    :ivar texts: how each table stands there, when it is written next, by its name.
    :ivar seen: what told the file apart from others when it was read or written; None
        for no file.
    """

    tables: tuple[Table, ...] = ()
    texts: Mapping[bytes, bytes] = MappingProxyType({})
    seen: tuple[int, ...] | None = None

    def table(self, name: bytes) -> Table | None:
        """Return the table of a name, None if there is none."""
        return next((each for each in self.tables if each.name == name), None)


class OnlineFile:
    """The file of the online rules.

    :ivar path: where it is, for a person; empty without a home.
    """

    def __init__(self, home: Home | None) -> None:
        """Begin.

        :param home: held as long as this is used; None for none.
        """
        self._home = home
        self.path = "" if home is None else os.path.join(home.directory, RULES)

    @property
    def _way(self) -> str:
        assert self._home is not None
        return os.path.join(self._home.way, RULES)

    def read(self, before: Book | None = None) -> Book:
        """Return what the file says.

        :param before: what it said last; None for a start, when there may be no file.
        :raise memq.errors.ConfigError: when it cannot be read, or be taken as it is;
            or when it is gone.
        """
        if self._home is None:
            return before or Book()
        seen = self._look()
        if seen is None:
            if before is not None and before.seen is not None:
                why = "is gone; without any rules it would be an empty file"
                raise ConfigError(self.path, None, why)
            return Book()
        try:
            with open(self._way, "rb") as file:
                data = file.read(LARGEST + 1)
        except OSError as error:
            raise ConfigError(self.path, None, error.strerror or str(error)) from None
        tables = readTables(self.path, data)
        texts = {table.name: tableText(table) for table in tables}
        return Book(tables, MappingProxyType(texts), seen)

    def _look(self) -> tuple[int, ...] | None:
        """Return what tells the file apart; None if there is none."""
        try:
            status = os.stat(self._way)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(self.path, None, error.strerror or str(error)) from None
        return status.st_ino, status.st_size, status.st_mtime_ns

    def setAside(self) -> str:
        """Give the file another name, and return that.

        :raise OSError: when that cannot be.
        """
        number, aside = 1, f"{self._way}.damaged"
        while os.path.lexists(aside):
            number += 1
            aside = f"{self._way}.damaged.{number}"
        os.rename(self._way, aside)
        return os.path.join(os.path.dirname(self.path), os.path.basename(aside))

    def placed(self, tables: Sequence[Table]) -> tuple[Table, ...]:
        """Return tables with the lines on which they stand when they are written."""
        found = []
        line = _HEAD_LINES + 1
        for name, values, *_ in tables:
            lines = range(line + 1, line + 1 + len(values)) if self.path else ()
            found.append(Table(name, values, self.path, lines))
            line += len(values) + 2
        return tuple(found)

    def write(self, before: Book, tables: tuple[Table, ...], changed: bytes) -> Book:
        """Put tables into the file; return what it says then, durably.

        :param before: what it says now.
        :param tables: all of them, with their lines.
        :param changed: the name of the one that differs.
        :raise memq.errors.RulesRefused: when that cannot be; the old file stays.
        :raise memq.errors.HomeGone: when HOME leads elsewhere by now.
        """
        texts = MappingProxyType(
            {
                table.name: _checked(table)
                if table.name == changed
                else before.texts[table.name]
                for table in tables
            }
        )
        if self._home is None:
            return Book(tables, texts)
        data = b"".join([_HEAD, *texts.values()])
        if len(data) > LARGEST:
            why = f"would have more than {LARGEST} bytes: these are too many rules"
            raise RulesRefused(f"{self.path}: {why}")
        self._home.check()
        try:
            if self._look() != before.seen:
                why = "was changed by hand: have it read first, with reload"
                raise RulesRefused(f"{self.path} {why}")
            replaceFile(self._way, data, _compare)
            return Book(tables, texts, self._look())
        except ConfigError as error:
            raise RulesNotKept(str(error)) from error
        except OSError as error:
            with suppress(OSError):
                os.unlink(self._way + ".new")
            raise RulesNotKept(f"{self.path}: {error.strerror}") from error


def _compare(path: str, content: bytes) -> None:
    """See that a file has what was written to it.

    :raise OSError: when it has not.
    """
    with open(path, "rb") as file:
        if file.read() != content:
            raise OSError(errno.EIO, "what was written is not what can be read")


class Online(NamedTuple):
    """The file of the online rules, and what it says."""

    file: OnlineFile
    book: Book


def openOnline(home: Home | None, tables: Sequence[Table], skipDamaged: bool) -> Online:
    """Return the online rules at the start of a server.

    :param home: held; None for none.
    :param tables: those of the configuration file.
    :param skipDamaged: whether a file that cannot be taken gets another name.
    :raise memq.errors.DamagedHome: when it cannot be taken.
    """
    file = OnlineFile(home)
    try:
        book = file.read()
        rules = together(tables, book.tables)
    except ConfigError as error:
        if not skipDamaged:
            raise DamagedHome(f"{error}; {_ADVICE}") from None
        aside = file.setAside()
        _log.error("{error}; memq goes on without it", error=f"{aside}: {error}")
        return Online(file, Book())
    for line in overruled(rules, book.tables):
        _log.warn("{line}", line=line)
    return Online(file, book)


def overruled(rules: Rules, online: Sequence[Table]) -> Iterator[str]:
    """Yield a line for each online table of which something is locked."""
    for table in online:
        for key in table.values:
            lock = rules.lock(table.name, key)
            if lock is not None:
                yield (
                    f"{table.place(key)}: {key} has no effect where "
                    f"{lock.place(key)} has it, which is locked"
                )
                break


def readTables(path: str, data: bytes) -> tuple[Table, ...]:
    """Return the tables of a file of online rules, each for itself as it should be.

    :raise memq.errors.ConfigError: when one is not.
    """
    file = TOMLFile.decode(path, data)
    found = file.parse()
    for name, value in found.items():
        if name != "queue":
            what = f"[{tomlKey(name)}]" if isinstance(value, dict) else tomlKey(name)
            file.refuse(what, 'is not known here; there is [queue."NAME"]', name)
    return queueTables(file, found.get("queue", {}), ruleValue)


def _checked(table: Table) -> bytes:
    """Return a table as it stands in the file, which was read as what was meant."""
    text = tableText(table)
    tables = tomllib.loads(text.decode())["queue"]
    name = table.name.decode()
    found = {key: ruleValue(key, value) for key, value in tables[name].items()}
    if found != dict(table.values) or len(tables) > 1:
        raise RulesRefused(f"[queue.{tomlKey(name)}] cannot be written down")
    return text


def changed(tables: Sequence[Table], change: Change) -> Sequence[Table]:
    """Return online tables with a change; ``tables`` itself when nothing changes.

    A table that is new goes behind the last one that a pattern names if a pattern names
    it too, else to the end: so what is said of one queue counts more.  One without keys
    goes.
    """
    at = next((n for n, each in enumerate(tables) if each.name == change.name), None)
    old: Mapping[str, Any] = {} if at is None else tables[at].values
    removed = old if change.removed is None else change.removed
    values = {key: value for key, value in old.items() if key not in removed}
    values.update(change.values)
    if values == old:
        return tables
    found = list(tables)
    table = Table(change.name, MappingProxyType(values))
    if at is not None:
        found[at : at + 1] = [table] if values else []
        return found
    at = len(found)
    while isPattern(change.name) and at and not isPattern(found[at - 1].name):
        at -= 1
    found.insert(at, table)
    return found


def together(tables: Sequence[Table], online: Sequence[Table]) -> Rules:
    """Return the rules that tables of the configuration file and others make.

    :raise memq.errors.ConfigError: when they do not go together.
    """
    rules = Rules(tables, online)
    if online:
        # Else they do, as was seen when the configuration file was read.
        try:
            rules.check()
        except RuleError as error:
            table = error.table
            line = table.line(error.key)
            raise ConfigError(table.path or NOWHERE, line, told(error)) from None
    return rules


def told(error: RuleError) -> str:
    """Return what is wrong with a key, with the value that it has."""
    value = tomlValue(error.key, error.table.values[error.key])
    return f"{error.key} = {shortened(value)}: {error}"


def shortened(text: str) -> str:
    """Return a value that is told, and no more of it than a line has room for."""
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."
