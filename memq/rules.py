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
"""

from __future__ import annotations

import re
from bisect import insort
from fnmatch import translate
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.rule import KEYS, READS, WRITES, Rule, isPattern, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["READS", "WRITES", "Rule", "RuleError", "Rules", "Table"]

#: Names whose rules are kept at hand.
KNOWN = 16_384

#: Queues of a circle that are told.
_MOST = 6

_NOTHING = Rule()


class Table(NamedTuple):
    """A [queue] table.

    :ivar name: of a queue, or a pattern.
    :ivar values: what its keys say, as Rule has it.
    """

    name: bytes
    values: Mapping[str, Any]


class RuleError(ValueError):
    """What a table says cannot be, though each key for itself could.

    :ivar table: its name.
    :ivar key: the one that is wrong.
    """

    def __init__(self, table: bytes, key: str, why: str) -> None:
        """Say where, and ``why``."""
        super().__init__(why)
        self.table = table
        self.key = key


def matcher(pattern: bytes) -> Callable[[bytes], object]:
    """Return what tells whether a name matches a pattern, or is the same."""
    # As fnmatch does it: each byte is one letter.
    expression = translate(pattern.decode("latin-1")).encode("latin-1")
    return re.compile(expression).match


class Rules:
    """The rules of all queues, which do not change.

    :ivar isEmpty: whether no queue has any.
    """

    def __init__(self, tables: Sequence[Table] = ()) -> None:
        """Take the tables in the order in which they stand."""
        self.isEmpty = not tables
        self._tables = tables
        self._exact: dict[bytes, int] = {}
        self._patterns: dict[int, Callable[[bytes], object]] = {}
        self._known: dict[bytes, Rule | None] = {}
        for index, table in enumerate(tables):
            if isPattern(table.name):
                self._patterns[index] = matcher(table.name)
            else:
                self._exact[table.name] = index

    def of(self, queue: bytes) -> Rule | None:
        """Return what holds for a queue; None when nothing does."""
        try:
            return self._known[queue]
        except KeyError:
            if len(self._known) >= KNOWN:
                self._known.clear()
            rule = self._made(queue)
            if rule.fanout:
                rule = rule._replace(reaches=self._reached(queue))
            found = self._known[queue] = None if rule == _NOTHING else rule
            return found

    def check(self) -> None:
        """See that the tables go together.

        :raise RuleError: when they do not.
        """
        for index, (name, values) in enumerate(self._tables):
            if "overflow" in values and not self._has(index, "max_items", "max_bytes"):
                why = "there is no max_items and no max_bytes for it"
                raise RuleError(name, "overflow", why)
            if values.get("fanout_only") and not self._has(index, "fanout"):
                raise RuleError(name, "fanout_only", "there is no fanout for it")
        for key in ("fanout", "dead_letter", "expired_to"):
            self._checkCircles(key)

    def _matching(self, queue: bytes) -> list[int]:
        """Return which tables match a queue, in their order."""
        found = [index for index, matches in self._patterns.items() if matches(queue)]
        if queue in self._exact:
            insort(found, self._exact[queue])
        return found

    def _made(self, queue: bytes) -> Rule:
        """Return what holds for a queue, without what a set reaches in the end."""
        fields: dict[str, Any] = {}
        for index in self._matching(queue):
            for key, value in self._tables[index].values.items():
                fields[KEYS[key].field] = value
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

    def _has(self, index: int, *keys: str) -> bool:
        """Tell whether a queue that a table matches can have one of some keys.

        Two patterns are taken to have queues in common.
        """
        name = self._tables[index].name
        matches = self._patterns.get(index)
        if matches is None:
            tables = [self._tables[each] for each in self._matching(name)]
        else:
            tables = [
                each
                for each in self._tables
                if isPattern(each.name) or matches(each.name)
            ]
        return any(table.values.get(key) for table in tables for key in keys)

    def _checkCircles(self, key: str) -> None:
        """See that no queue hands on to itself, nor by way of others.

        :raise RuleError: when one does.  It names the last table that has a part in it.
        """
        names = {*self._exact}
        for table in self._tables:
            names.update(_queues(table.values.get(key)))
        field = KEYS[key].field
        graph = {name: _queues(getattr(self._made(name), field)) for name in names}
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            # It takes those that are handed something for what comes before.
            circle = error.args[1][::-1]
        else:
            return
        last = max(
            each
            for name in circle
            for each in self._matching(name)
            if key in self._tables[each].values
        )
        raise RuleError(
            self._tables[last].name, key, _told(circle, last in self._patterns)
        )


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
