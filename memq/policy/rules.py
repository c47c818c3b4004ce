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

from bisect import insort
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.policy.patterns import Patterns
from memq.policy.rule import FIELDS, READS, WRITES, Rule, isPattern, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    """A table contradicts itself or others, though each key for itself could be.

    :ivar table: its name.
    :ivar key: the one that is wrong.
    """

    def __init__(self, table: bytes, key: str, why: str) -> None:
        super().__init__(why)
        self.table = table
        self.key = key


class Rules:
    """The rules of all queues, which do not change.

    :ivar isEmpty: whether no queue has any.
    """

    def __init__(self, tables: Sequence[Table] = ()) -> None:
        """Take the tables in the order in which they stand."""
        self.isEmpty = not tables
        self._tables = tables
        self._exact: dict[bytes, int] = {}
        patterns: dict[int, bytes] = {}
        self.known: dict[bytes, Rule | None] = {}
        for index, table in enumerate(tables):
            if isPattern(table.name):
                patterns[index] = table.name
            else:
                self._exact[table.name] = index
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

    def check(self) -> None:
        """See that the tables go together.

        :raise RuleError: when they do not.
        """
        limited = self._whereSet("max_items", "max_bytes")
        fanned = self._whereSet("fanout")
        for index, (name, values) in enumerate(self._tables):
            if "overflow" in values and index not in limited:
                why = "there is no max_items and no max_bytes for it"
                raise RuleError(name, "overflow", why)
            if values.get("fanout_only") and index not in fanned:
                raise RuleError(name, "fanout_only", "there is no fanout for it")
        for key in ("fanout", "dead_letter", "expired_to"):
            self._checkCircles(key)

    def _matching(self, queue: bytes) -> list[int]:
        """Return which tables match a queue, in their order."""
        found = self._patterns.matching(queue)
        if queue in self._exact:
            insort(found, self._exact[queue])
        return found

    def _made(self, queue: bytes) -> Rule:
        """Return what holds for a queue, without what a set reaches in the end."""
        fields: dict[str, Any] = {}
        for index in self._matching(queue):
            for key, value in self._tables[index].values.items():
                fields[FIELDS[key]] = value
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

    def _whereSet(self, *keys: str) -> set[int]:
        """Return which tables are of queues of which some can have one of some keys.

        Two patterns are taken to have queues in common.
        """
        isSet = [any(map(table.values.get, keys)) for table in self._tables]
        found: set[int] = set()
        patterns: set[int] = set()
        for index, (name, _) in enumerate(self._tables):
            if isPattern(name):
                patterns.add(index)
                continue
            matching = self._matching(name)
            if isSet[index]:
                found.update(matching)
            elif any(isSet[each] for each in matching):
                found.add(index)
        return found | patterns if any(isSet[each] for each in patterns) else found

    def _checkCircles(self, key: str) -> None:
        """See that no queue hands on to itself, nor by way of others.

        :raise RuleError: when one does.  It names the last table that has a part in it.
        """
        names = {*self._exact}
        for table in self._tables:
            names.update(_queues(table.values.get(key)))
        field = FIELDS[key]
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
        name = self._tables[last].name
        raise RuleError(name, key, _told(circle, isPattern(name)))


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
