"""A start that waits for its cluster."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from memq.backing.opening import AGAIN, SOON, Opening
from memq.backing.startcheck import ClusterRefused
from memq.config.cluster import parseAddress
from memq.errors import ConfigError, StoreError
from memq.rabbitmq.errors import Untold
from memq.ratelimit import LOG_INTERVAL
from memq.test.backing.test_startcheck import GOOD


class OpeningTests(SynchronousTestCase):
    """What is waited for, and what is said meanwhile."""

    def setUp(self) -> None:
        """Have a cluster with all that is needed."""
        self.clock = Clock()
        self.links = [
            SimpleNamespace(isUp=True, isUnfit=False, trouble="") for _ in range(2)
        ]
        self.facts: Any = GOOD
        self.checked: Deferred[None] = succeed(None)
        self.said: list[str] = []
        links: Any = self.links
        telling: Any = SimpleNamespace(facts=self._asked)
        self.opening = Opening(
            self.clock, links, telling, lambda: self.checked, self.said.append
        )

    def _asked(self) -> Deferred[Any]:
        facts = self.facts
        if isinstance(facts, Deferred):
            return facts
        return fail(facts) if isinstance(facts, Exception) else succeed(facts)

    def open(self, acceptMnesia: bool = False) -> Deferred[None]:
        """Begin."""
        return self.opening.open(parseAddress("amqp://u@a/v"), acceptMnesia)

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.pump([AGAIN] * round(seconds / AGAIN))

    def test_there(self) -> None:
        """A cluster that is there is served from at once, with what is known of it."""
        self.assertIsNone(self.successResultOf(self.open()))
        self.assertEqual(self.opening.facts, GOOD)
        self.assertEqual((self.said, self.clock.getDelayedCalls()), ([], []))

    def test_waits(self) -> None:
        """A cluster that does not answer is waited for; why is said once a minute."""
        self.facts = Untold("refused")
        done = self.open()
        self.pass_(SOON - AGAIN)
        self.assertEqual(self.said, [])
        self.pass_(LOG_INTERVAL)
        words = "no queue server tells of its queues (refused)"
        self.assertEqual(
            self.said, [f"Waiting for the cluster, for 3 s so far: {words}"]
        )
        self.facts = GOOD._replace(running=1)
        self.pass_(1)
        self.assertEqual(
            self.said[1:],
            ["Waiting for the cluster, for 63 s so far: 1 of 3 queue servers run"],
        )
        self.assertNoResult(done)
        self.facts = GOOD
        self.pass_(AGAIN)
        self.assertIsNone(self.successResultOf(done))

    def test_links(self) -> None:
        """Each purpose has to be connected; why it is not is said."""
        for trouble, words in (
            ("", "it is being connected to"),
            ("a:5672: refused", "a:5672: refused"),
        ):
            self.setUp()
            self.links[1].isUp, self.links[1].trouble = False, trouble
            done = self.open()
            self.pass_(SOON)
            self.assertIn(f"so far: {words}", self.said[0])
            self.links[1].isUp = True
            self.pass_(AGAIN)
            self.assertIsNone(self.successResultOf(done))

    def test_refused(self) -> None:
        """A cluster that is refused ends the start."""
        for facts in (GOOD._replace(isKhepri=False), Untold("it answered 401", 401)):
            self.facts = facts
            self.failureResultOf(self.open(), ClusterRefused)
        self.facts = GOOD._replace(isKhepri=False)
        self.assertIsNone(self.successResultOf(self.open(acceptMnesia=True)))

    def test_unfit(self) -> None:
        """Nodes that do not confirm what is set are refused, in words."""
        link = self.links[1]
        link.isUp, link.isUnfit, link.trouble = False, True, "a: it does not confirm"
        refused = self.failureResultOf(self.open(), ClusterRefused)
        self.assertEqual(
            refused.getErrorMessage(),
            "--rabbitmq: no queue server can be used; a: it does not confirm",
        )

    def test_rules(self) -> None:
        """Rules that cannot be kept end the start."""
        self.checked = fail(ConfigError("f", 1, "why"))
        self.failureResultOf(self.open(), ConfigError)

    def test_policies(self) -> None:
        """Policies that nobody tells are asked for again, as is what cannot be made."""
        for error in Untold("why"), StoreError("why"):
            self.checked = fail(error)
            done = self.open()
            self.assertNoResult(done)
            self.checked = succeed(None)
            self.pass_(AGAIN)
            self.assertIsNone(self.successResultOf(done))
        self.checked = fail(Untold("it answered 401", 401))
        self.failureResultOf(self.open(), ClusterRefused)

    def test_unforeseen(self) -> None:
        """So does an error that nobody foresaw."""
        self.facts = ZeroDivisionError()
        self.failureResultOf(self.open(), ZeroDivisionError)

    def test_interrupted(self) -> None:
        """A start that is interrupted is over, whatever comes later."""
        self.facts = Untold("refused")
        done = self.open()
        self.opening.interrupt()
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for late in (succeed(GOOD), fail(Untold("late")), fail(ZeroDivisionError())):
            asked: Deferred[Any] = Deferred()
            self.facts = asked
            done = self.open()
            self.opening.interrupt()
            self.assertIsNone(self.successResultOf(done))
            late.chainDeferred(asked)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_twice(self) -> None:
        """What is open is not interrupted."""
        done = self.open()
        self.opening.interrupt()
        self.assertIsNone(self.successResultOf(done))
