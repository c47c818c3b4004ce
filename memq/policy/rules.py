"""The rules that queues can have: what a [queue] table says, and for which queues.

A table is named by a queue's name, or by a pattern as a shell has it: ``*`` for any
bytes, ``?`` for one, ``[a-c]`` and ``[!a-c]`` for one of some.  It matches the bytes of
a name; upper and lower case differ.  Of all tables that match, in their order, the last
one that has a key decides on that key.

A queue can hand on what is set to it (``fanout``), what has expired (``expired_to``)
and what was given back too often (``dead_letter``).  The first goes on from there: what
one queue hands on to another is handed on by that one too, by its own rules.  So none
of the three may lead back to where it began.  Only queues that are named in full can be
on such a circle, for each one in it is handed something by another: it is enough to
look at those names when the file is read, and ``Rules.check`` does.

Tables are of two kinds: those of the configuration file, and behind them those that
were made online, by clients.  A table of the file can be locked: what it says of a
queue is then not changed by any that was made online.
"""

from __future__ import annotations

from bisect import insort
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.policy.patterns import Pattern, Patterns, meet
from memq.policy.rule import FIELDS, READS, WRITES, Rule, isPattern, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

__all__ = ["READS", "WRITES", "Rule", "RuleError", "Rules", "Table"]

#: Names whose rules are kept at hand.
KNOWN = 16_384

#: The place of a table that stands in no file.
NOWHERE = "memory"

#: Queues of a circle that are told.
_MOST = 6

#: Keys that are nothing without one of those behind them.
_NEEDS = (("overflow", "max_items", "max_bytes"), ("fanout_only", "fanout"))

_NOTHING = Rule()


class Table(NamedTuple):
    """A [queue] table.

    :ivar name: of a queue, or a pattern.
    :ivar values: what its keys say, as Rule has it.
    :ivar path: the file in which it stands; empty if it stands in none.
    :ivar lines: on which lines its keys stand, in their order.
    :ivar locked: whether its keys stay as they are, whatever is said online.
    """

    name: bytes
    values: Mapping[str, Any]
    path: str = ""
    lines: Sequence[int] = ()
    locked: bool = False

    def line(self, key: str) -> int | None:
        """Return the line on which one of its keys stands; None in no file."""
        return self.lines[list(self.values).index(key)] if self.lines else None

    def place(self, key: str) -> str:
        """Return where one of its keys stands, ``FILE:LINE``."""
        return f"{self.path}:{self.line(key)}" if self.lines else NOWHERE


class RuleError(ValueError):
    """A table contradicts itself or others, though each key for itself could be.

    :ivar table: which.
    :ivar key: the one that is wrong.
    """

    def __init__(self, table: Table, key: str, why: str) -> None:
        super().__init__(why)
        self.table = table
        self.key = key


class Rules:
    """The rules of all queues, which do not change.

    :ivar isEmpty: whether no queue has any.
    :ivar tables: those of which they are made.
    """

    def __init__(
        self, tables: Sequence[Table] = (), online: Sequence[Table] = ()
    ) -> None:
        """Take the tables in the order in which they stand.

        :param tables: those of the configuration file.
        :param online: those that were made online; none is locked.
        """
        self._locks = [table for table in tables if table.locked]
        self._online = len(tables)
        tables = [*tables, *online] if online else tables
        self.isEmpty = not tables
        self.tables = tables
        #: The tables of each name: one of the file, one online, or both.
        self._exact: dict[bytes, tuple[int, ...]] = {}
        patterns: dict[int, bytes] = {}
        self.known: dict[bytes, Rule | None] = {}
        for index, table in enumerate(tables):
            if isPattern(table.name):
                patterns[index] = table.name
            else:
                self._exact[table.name] = (*self._exact.get(table.name, ()), index)
        self._patterns = Patterns(patterns.items())

    def of(self, queue: bytes) -> Rule | None:
        """Return what holds for a queue; None when nothing does."""
        try:
            return self.known[queue]
        except KeyError:
            if len(self.known) >= KNOWN:
                self.known.clear()
            rule = self._made(queue)
            if rule.fanout:
                rule = rule._replace(reaches=self._reached(queue))
            found = self.known[queue] = None if rule == _NOTHING else rule
            return found

    def deciding(self, queue: bytes) -> dict[str, Table]:
        """Return which table decides on each key of a queue that any of them has."""
        found: dict[str, Table] = {}
        locked: set[str] = set()
        for index in self._matching(queue):
            table = self.tables[index]
            for key in table.values:
                if index < self._online or key not in locked:
                    found[key] = table
            if table.locked:
                locked.update(table.values)
        return found

    def lock(self, name: bytes, key: str) -> Table | None:
        """Return what locks a key for a queue that a name or pattern can match."""
        for table in self._locks:
            if key in table.values and meet(table.name, name):
                return table
        return None

    def check(self, changed: Set[str] = FIELDS.keys()) -> None:
        """See that the tables go together.

        :param changed: the keys of which something differs from tables that do.
        :raise RuleError: when they do not.
        """
        for needs in _NEEDS:
            if changed & {*needs}:
                self._checkNeeds(*needs)
        for key in ("fanout", "dead_letter", "expired_to"):
            if key in changed:
                self._checkCircles(key)

    def _matching(self, queue: bytes) -> list[int]:
        """Return which tables match a queue, in their order."""
        found = self._patterns.matching(queue)
        for index in self._exact.get(queue, ()):
            insort(found, index)
        return found

    def _made(self, queue: bytes) -> Rule:
        """Return what holds for a queue, without what a set reaches in the end."""
        fields: dict[str, Any] = {
            FIELDS[key]: table.values[key]
            for key, table in self.deciding(queue).items()
        }
        rule = Rule(**fields)
        return rule if rule.fanout else rule._replace(fanoutOnly=False)

    def _reached(self, queue: bytes) -> tuple[bytes, ...]:
        """Return every queue that a set to ``queue`` goes to in the end, each once."""
        found = []
        names = [queue]
        known = {queue}
        for name in names:
            rule = self._made(name)
            if not rule.fanoutOnly:
                found.append(name)
            new = [each for each in dict.fromkeys(rule.fanout) if each not in known]
            known.update(new)
            # The loop goes on to these.
            names += new
        return tuple(found)

    def _checkNeeds(self, key: str, *others: str) -> None:
        """See that no table has a key that is nothing without one of others.

        Two patterns are taken to have queues in common.

        :raise RuleError: when one has.
        """
        isSet = [any(map(table.values.get, others)) for table in self.tables]
        named = [
            table.name for table, here in zip(self.tables, isSet, strict=True) if here
        ]
        names = [name for name in named if not isPattern(name)]
        hasPattern = len(names) < len(named)
        for index, table in enumerate(self.tables):
            name = table.name
            if isSet[index] or not _needs(table, key):
                continue
            if isPattern(name):
                isFine = hasPattern or any(map(Pattern(name).matches, names))
            else:
                isFine = any(isSet[each] for each in self._matching(name))
            if not isFine:
                why = f"there is no {' and no '.join(others)} for it"
                raise RuleError(table, key, why)

    def _checkCircles(self, key: str) -> None:
        """See that no queue hands on to itself, nor by way of others.

        :raise RuleError: when one does.  It names the last table that has a part in it.
        """
        names: set[bytes] = set()
        for table in self.tables:
            names.update(_queues(table.values.get(key)))
        graph = {name: self._handedTo(name, key) for name in names}
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            # It takes those that are handed something for what comes before.
            circle = error.args[1][::-1]
        else:
            return
        deciding = [self.deciding(name)[key] for name in circle]
        table = max(deciding, key=self.tables.index)
        raise RuleError(table, key, _told(circle, isPattern(table.name)))

    def _handedTo(self, queue: bytes, key: str) -> tuple[bytes, ...]:
        """Return the queues that a queue hands on to by one of its keys."""
        table = self.deciding(queue).get(key)
        return () if table is None else _queues(table.values[key])


def _needs(table: Table, key: str) -> bool:
    """Tell whether a table says a key that is nothing by itself."""
    # An overflow says what to do in either case; fanout_only may be false.
    return key in table.values and (key == "overflow" or table.values[key])


def _queues(value: Any) -> tuple[bytes, ...]:
    """Return the queues that a value names: one, some or none."""
    return (value,) if isinstance(value, bytes) else value or ()


def _told(circle: list[bytes], isPattern: bool) -> str:
    """Return what is wrong with a circle, its first name once more at the end.

    :param isPattern: whether it is a pattern that makes it.
    """
    words = [quoted(name) for name in circle[:_MOST]] + ["..."] * (len(circle) > _MOST)
    why = f"a queue would hand on to itself: {' -> '.join(words)}"
    if isPattern:
        why += "; a table further down can say otherwise for one queue"
    return why
