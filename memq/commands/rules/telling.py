"""Rules that are told: those online, and that of a queue with its sources.

There may be thousands of rules and of queues, so they are told some in each turn.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from memq.commands.details import Telling, names, renderAnswer, tell
from memq.commands.rules.changes import answerChange, keysTold, setting
from memq.config.ruletext import word
from memq.display import shownText
from memq.errors import RulesRefused
from memq.operations.base import Ask
from memq.policy.rule import FIELDS, Rule
from memq.wire.forms import END, PLAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from memq.commands.dialogue import Dialogue
    from memq.interfaces import IQueueStore
    from memq.policy.rules import Rules, Table
    from memq.wire.rules.grammar import ListRules, ShowRule, TryRule


class Tables(Telling):
    """The online rules."""

    def __init__(self, tables: Sequence[Table]) -> None:
        """Take them as they are now."""
        super().__init__()
        self._tables = tables

    def _names(self, store: IQueueStore) -> list[bytes]:
        return [table.name for table in self._tables]

    def _told(self, which: slice, store: IQueueStore) -> bytes:
        return b"".join(map(_line, self._tables[which]))


def _line(table: Table) -> bytes:
    return b"STAT %b %b\r\n" % (table.name, keysTold(table.values).encode())


class Plan(Telling):
    """What other rules would change of the queues that there are."""

    def __init__(self, now: Rules, then: Rules, pattern: bytes) -> None:
        """Compare rules.

        :param pattern: what the names of the queues match that may have another one.
        """
        super().__init__()
        self._pattern = pattern
        self._now = now
        self._then = then

    def _names(self, store: IQueueStore) -> list[bytes]:
        return names(store, self._pattern)

    def _told(self, which: slice, store: IQueueStore) -> bytes:
        return b"".join(self._lines(self.queues[which]))

    def _lines(self, queues: Iterable[bytes]) -> Iterator[bytes]:
        for queue in queues:
            rules = [rules.of(queue) or Rule() for rules in (self._now, self._then)]
            for key, field in FIELDS.items():
                before, after = (getattr(rule, field) for rule in rules)
                if before != after:
                    told = f"{key} {word(key, before)} {word(key, after)}"
                    yield b"STAT %b %b\r\n" % (queue, told.encode())


def listRules(dialogue: Dialogue, command: ListRules) -> None:
    """Tell the online rules."""
    tell(dialogue, command.form, Tables(dialogue.host.rules.book.tables))


def tryRule(dialogue: Dialogue, command: TryRule) -> None:
    """Tell what a change would change."""
    try:
        change = setting(command)
    except RulesRefused as error:
        dialogue.refuse(error, command.form)
        return
    reloader = dialogue.host.rules
    dialogue.connection.hold()

    def _cbPlanned(rules: Rules) -> None:
        plan = Plan(reloader.rules, rules, command.queue)
        tell(dialogue, command.form, plan)

    done = reloader.plan(change).addCallback(_cbPlanned)
    # An error is all that this answers.
    answerChange(dialogue, PLAIN, done)


def showRule(dialogue: Dialogue, command: ShowRule) -> None:
    """Tell the rule of a queue."""
    told = _shown(dialogue.host.rules.rules, command.queue)
    asking = Ask(dialogue.session, lambda store: told)
    dialogue.session.submit(asking)
    dialogue.expect(asking, partial(renderAnswer, dialogue, command.form))


def _shown(rules: Rules, queue: bytes) -> bytes:
    lines = [
        f"STAT {key} {value} {place}\r\n".encode("utf-8", "surrogateescape")
        for key, value, place in sources(rules, queue)
    ]
    return b"".join(lines) + END


def sources(rules: Rules, queue: bytes) -> Iterator[tuple[str, str, str]]:
    """Yield the keys that some table has for a queue, with value and place."""
    deciding = rules.deciding(queue)
    for key in FIELDS:
        if key in deciding:
            table = deciding[key]
            yield key, word(key, table.values[key]), shownText(table.place(key))
