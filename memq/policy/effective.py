"""Effective policies: what holds for a queue now, by the rules and by the store.

The rules come from a file and may be read again at any time; the store keeps limits
(``add``) and pauses.  An operation asks for the policy of its queue when it runs, and
keeps nothing of it.  On most servers no queue has any: plain commands pay for one look
at ``isActive``, and no more.

No I/O, no Twisted.
"""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, NamedTuple

from memq.policy.rule import READS, WRITES, Rule
from memq.policy.rules import Rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.interfaces import IQueueStore

_NO_RULE = Rule()


class EffectivePolicy(NamedTuple):
    """The policy of a queue that is not plain.

    :ivar rule: that of the file.
    :ivar limit: the most messages, as the store has it; 0 for any number.
    :ivar paused: READS, WRITES, both or 0, by the rule or the store.
    """

    rule: Rule = _NO_RULE
    limit: int = 0
    paused: int = 0

    @property
    def maxItems(self) -> int:
        """Return the most messages by either, 0 for any number."""
        most, limit = self.rule.maxItems, self.limit
        return min(most, limit) if most and limit else most or limit

    @property
    def readsArePaused(self) -> bool:
        """Whether nothing is to be read."""
        return bool(self.paused & READS)

    @property
    def writesArePaused(self) -> bool:
        """Whether nothing is to be set."""
        return bool(self.paused & WRITES)


#: That of a queue that has none.
PLAIN = EffectivePolicy()


class Policies:
    """The policies of all queues.

    :ivar isActive: False as long as no queue has one.  Once there may be one it stays
        True, also when the rules are gone, or the turn that made one is undone.
    """

    def __init__(
        self,
        store: IQueueStore,
        rules: Rules | None = None,
        seconds: Callable[[], float] = time,
    ) -> None:
        """Begin with some rules.

        :param store: it is only looked at, and not before :meth:`look`.
        :param rules: those of the file; None for none.
        :param seconds: tells the time, in seconds since 1970-01-01 UTC.
        """
        self._store = store
        self.seconds = seconds
        self.rules = Rules() if rules is None else rules
        self.isActive = not self.rules.isEmpty
        self._observers: list[Callable[[], object]] = []

    def subscribe(self, call: Callable[[], object]) -> None:
        """Let something be called each time that the rules have become others."""
        self._observers.append(call)

    def look(self) -> None:
        """See what a store that was just opened keeps of queues."""
        self.isActive |= self._store.hasSettings()

    def activate(self) -> None:
        """Note that a queue gets something that the store keeps."""
        self.isActive = True

    def replace(self, rules: Rules) -> None:
        """Let other rules hold from now on."""
        self.rules = rules
        self.isActive |= not rules.isEmpty
        for call in self._observers:
            call()

    def of(self, queue: bytes) -> EffectivePolicy | None:
        """Return what holds for a queue, None for a plain one."""
        rule = self.rules.of(queue)
        limit, paused = self._store.settings(queue)
        if rule is None:
            return EffectivePolicy(_NO_RULE, limit, paused) if limit or paused else None
        return EffectivePolicy(rule, limit, paused | rule.paused)

    def told(self, queue: bytes) -> EffectivePolicy | None:
        """Return what is told to hold for a queue, whoever sees to it."""
        return self.of(queue)

    def now(self) -> int:
        """Return the time, in milliseconds since 1970-01-01 UTC."""
        return int(self.seconds() * 1000)
