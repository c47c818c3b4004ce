"""Rules that a cluster keeps, or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from memq.backing.rulecheck import PERIOD, RuleCheck
from memq.errors import ConfigError, StoreError
from memq.policy.rules import Rules, Table
from memq.rabbitmq.errors import RuleRefused, Untold
from memq.rabbitmq.policies import wanted

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.rabbitmq.names import Name
    from memq.rabbitmq.policies import Policy

TABLES = [
    Table(b"q", {"max_deliveries": 2, "dead_letter": b"d"}, "f", (3, 4)),
    Table(b"p", {"max_age": 1, "expired_to": b"e"}, "f", (6, 7)),
]


class RuleCheckTests(SynchronousTestCase):
    """A cluster with policies, or without."""

    def setUp(self) -> None:
        """Have those that are wanted, and queues that can be made."""
        self.clock, self.rules = Clock(), Rules(TABLES)
        self.found: list[Policy] = [each.policy for each in wanted(TABLES)]
        self.untold: Exception | None = None
        self.made: dict[str, Callable[[Any], object]] = {}
        self.check = RuleCheck(self.clock, self, self)
        self.isMaking = False

    def policies(self) -> Deferred[tuple[list[Policy], list[Policy]]]:
        """Tell them."""
        return succeed((self.found, [])) if self.untold is None else fail(self.untold)

    def make(self, name: Name, limit: int, told: Callable[[Any], object]) -> None:
        """Note what is to be made."""
        self.made[name.queue] = told
        if self.isMaking:
            told(False)

    def test_kept(self) -> None:
        """Rules in force are fine once the queues are there to which messages go."""
        done = self.check.begin(self.rules)
        self.assertEqual(list(self.made), ["d", "e"])
        self.made["d"](True)
        self.assertNoResult(done)
        self.made["e"](False)
        self.assertIsNone(self.successResultOf(done))

    def test_none(self) -> None:
        """Without rules nothing is made, and nothing may be in force."""
        self.failureResultOf(self.check.begin(Rules()), RuleRefused)
        self.found = []
        self.assertIsNone(self.successResultOf(self.check.begin(Rules())))
        self.assertEqual(self.made, {})

    def test_refused(self) -> None:
        """Rules that are not in force, or cannot be, are refused with their place."""
        del self.found[0]
        for check in (self.check.begin, self.check.again):
            failure = self.failureResultOf(check(self.rules), RuleRefused)
            self.assertIn('f line 7: expired_to = "e" of p: ', str(failure.value))
        rules = Rules([Table(b"r", {"remove_when_idle": 5.0}, "f", (8,))])
        failure = self.failureResultOf(self.check.begin(rules), RuleRefused)
        self.assertIn("f line 8: remove_when_idle = 5.0 of r: ", str(failure.value))

    def test_untold(self) -> None:
        """A cluster that does not tell may do so later; a reload does not wait."""
        self.untold = Untold("refused")
        self.failureResultOf(self.check.begin(self.rules), Untold)
        failure = self.failureResultOf(self.check.again(self.rules), ConfigError)
        words = (
            "the policies for the rules: no queue server tells of its queues (refused)"
        )
        self.assertEqual(str(failure.value), words)

    def test_unmade(self) -> None:
        """So may one that cannot make a queue now."""
        done = self.check.begin(self.rules)
        self.made["e"](StoreError("too late"))
        failure = self.failureResultOf(done, StoreError)
        self.assertEqual(str(failure.value), "e, to which messages go: too late")
        self.made["d"](StoreError("too late"))

    def test_watched(self) -> None:
        """What changes later is logged once, and when it is well again."""
        self.isMaking = True
        self.check.watch(lambda: self.rules)
        found = self.found
        with capturedLogs() as events:
            for there, untold in (
                (found, None),
                (found[1:], None),
                (found[1:], None),
                (found, Untold("refused")),
                (found, None),
            ):
                self.found, self.untold = there, untold
                self.clock.advance(PERIOD)
        missing, silent, well = [str(formatEvent(each)) for each in events]
        words = "The cluster may not keep the rules now: "
        self.assertTrue(missing.startswith(f"{words}f line 7: expired_to"), missing)
        self.assertIn(f"{words}no queue server tells", silent)
        self.assertEqual(well, "The cluster keeps the rules again")

    def test_ended(self) -> None:
        """The looks end, also while one is under way."""
        self.check.watch(lambda: self.rules)
        self.clock.advance(PERIOD)
        self.assertEqual(list(self.made), ["d", "e"])
        self.check.end()
        for told in self.made.values():
            told(True)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.check.watch(lambda: self.rules)
        self.check.end()
        self.assertEqual(self.clock.getDelayedCalls(), [])
