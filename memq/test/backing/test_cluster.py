"""A front end over fake nodes: opened, served from, closed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from memq.backing.cluster import ClusterBacking
from memq.backing.opening import AGAIN
from memq.backing.ways import Ground
from memq.config.commandline import Options
from memq.errors import ConfigError
from memq.policy.rules import Rules, Table
from memq.rabbitmq.errors import RuleRefused, Untold
from memq.rabbitmq.policies import wanted
from memq.server.factory import FactorySettings, QueueFactory
from memq.server.slow import SlowCommands
from memq.server.stats import Statistics
from memq.test.backing.test_startcheck import GOOD
from memq.test.support.fakerabbit import FakeCluster


def ground(options: Options, reactor: Any = None) -> Ground:
    """Return what a backing is made of, without a home."""
    reactor = reactor or MemoryReactorClock()
    pools: Any = SimpleNamespace(flush=None, work=None)
    poller: Any = SimpleNamespace(afterSweep=lambda call: reactor.callLater(0, call))
    nobody: Any = [].append
    return Ground(options, reactor, None, pools, poller, nobody, nobody)


class Access:
    """Fake nodes, and what they tell.

    :ivar facts: what is told of the cluster; an error if nothing is.
    :ivar found: its policies, or an error.
    """

    paths = ("f",)

    def __init__(self) -> None:
        self.rabbit = FakeCluster()
        self.facts: Any = GOOD
        self.found: Any = []

    def connect(self, reactor: Any) -> tuple[Any, Any]:
        """Return where they are."""

        def told() -> Any:
            facts = self.facts
            return fail(facts) if isinstance(facts, Exception) else succeed(facts)

        return self.rabbit.cluster, SimpleNamespace(facts=told)

    def policies(self) -> Any:
        """Tell the policies."""
        found = self.found
        if isinstance(found, Deferred):
            return found
        failed = isinstance(found, Exception)
        return fail(found) if failed else succeed((found, []))


class ClusterTests(SynchronousTestCase):
    """A front end, from its start to its end."""

    def setUp(self) -> None:
        """Put it together; nothing is connected."""
        options = Options()
        words = "--store", "rabbitmq", "--rabbitmq", "amqp://u:secret@a,b,c/v"
        options.parseOptions(["--no-config", *words])
        self.clock, self.access = Clock(), Access()
        access: Any = self.access
        self.backing = backing = ClusterBacking(access, ground(options, self.clock))
        statistics = Statistics(self.clock, backing.engine)
        upkeep = backing.upkeep(statistics)
        self.factory = QueueFactory(
            backing.engine, upkeep, statistics, FactorySettings()
        )
        connections = self.factory.connections
        self.slow = SlowCommands(self.clock, backing.watched, connections, 1.0)
        self.keeper: Any = backing.keeper(self.factory, self.slow)

    def go(self, seconds: float = 1.0) -> None:
        """Let time pass, and all be said."""
        for _ in range(round(seconds / 0.05)):
            self.clock.advance(0.05)
            self.access.rabbit.run()

    def open(self) -> None:
        """Open it to the end, as a service does."""
        opened = self.keeper.open()
        self.go()
        self.assertIsNone(self.successResultOf(opened))
        self.backing.engine.start()
        self.keeper.serve()

    def close(self) -> None:
        """Close it to the end, as a service does."""
        drained = self.backing.engine.drain()
        self.keeper.endServing()
        self.go()
        self.assertIsNone(self.successResultOf(drained))
        for done in (self.keeper.endUpkeep(), self.keeper.close()):
            self.assertIsNone(self.successResultOf(done))
        self.assertEqual(self.access.rabbit.peers(), [])

    def connect(self) -> Any:
        """Return a client's transport and protocol."""
        protocol: Any = self.factory.buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        return transport, protocol

    def test_serves(self) -> None:
        """It serves clients, and closes its connections at the end."""
        with capturedLogs() as events:
            self.open()
        lines = [str(formatEvent(each)) for each in events]
        looking = "Looking for the cluster at amqp://u@a:5672,b:5672,c:5672/v"
        there = "The cluster is there: 3 of 3 queue servers, RabbitMQ 4.0.5"
        self.assertEqual((lines[0], lines[-1]), (looking, there))
        transport, protocol = self.connect()
        protocol.dataReceived(b"set q 0 0 1\r\nx\r\nget q\r\n")
        protocol.dataReceived(b"db_checkpoint\r\ndb_archive\r\n")
        self.go()
        self.assertEqual(
            transport.value(), b"STORED\r\nVALUE q 0 1\r\nx\r\nEND\r\nOK\r\nOK\r\n"
        )
        self.close()

    def test_slow(self) -> None:
        """A command that the cluster does not answer is told as slow."""
        self.open()
        self.slow.start()
        self.go(0.5)
        self.access.rabbit.declare("q")
        self.access.rabbit.silent.add("q")
        transport, protocol = self.connect()
        protocol.dataReceived(b"set q 0 0 1\r\nx\r\n")
        with capturedLogs() as events:
            self.go(7)
        self.assertIn(b"it may be stored or not", transport.value())
        told = [formatEvent(each) for each in events]
        self.assertTrue(any("set of q by" in str(each) for each in told), told)
        self.slow.stop()
        self.close()

    def test_interrupted(self) -> None:
        """A start that waits for its cluster is over when that is asked for."""
        self.access.facts = Untold("refused")
        opened = self.keeper.open()
        self.go(AGAIN)
        self.assertNoResult(opened)
        self.keeper.interrupt()
        self.assertIsNone(self.successResultOf(opened))
        self.close()

    def test_rules(self) -> None:
        """Rules are taken that the cluster keeps, or has in force, or need nothing."""
        self.assertEqual(self.backing.berkeleydb, "none")

        def table(**values: Any) -> Rules:
            places = tuple(range(1, len(values) + 1))
            return Rules([Table(b"q", values, "f", places)])

        check, access = self.backing.check, self.access
        limited = table(max_items=3)
        for rules in Rules(), table(paused=1):
            self.assertIsNone(self.successResultOf(check(rules)))
        error = self.failureResultOf(check(limited), RuleRefused).value
        self.assertIn("f line 1: max_items = 3", str(error))
        access.found = [each.policy for each in wanted(limited.tables)]
        self.assertIsNone(self.successResultOf(check(limited)))
        self.failureResultOf(check(table(remove_when_idle=1.0)), RuleRefused)
        access.found = Untold("why")
        error = self.failureResultOf(check(limited), ConfigError).value
        self.assertIn("the policies for the rules: no queue server tells", str(error))
        access.found = Deferred()
        asked = check(limited)
        self.clock.advance(5)
        error = self.failureResultOf(asked, ConfigError).value
        self.assertIn("no queue server has answered in time", str(error))
        access.found.errback(Untold("late"))

    def test_line(self) -> None:
        """Nobody is told to wait in line."""
        engine, operation = self.backing.engine, object()
        self.assertIsNone(engine.lastInLine)
        self.assertFalse(engine.isInLine(operation))  # type: ignore[arg-type]
        engine.onLongTurn(0.0, [])
