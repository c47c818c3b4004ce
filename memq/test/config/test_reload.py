"""The rules are read again in a thread, one reading at a time, or stay as they are."""

from __future__ import annotations

import gc
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.threads import deferToThreadPool
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from memq.config import file, reload
from memq.config.file import Config, findConfig
from memq.config.reload import SWITCH, PolicyReloader
from memq.errors import ConfigError
from memq.policy.rules import Rule, Rules
from memq.test.support.stepped import SteppedPool, SteppedReactor

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

LIMIT = "[queue.q]\nmax_items = {}\n"


class ReloadTestCase(SynchronousTestCase):
    """Has a file at the default place, and a pool that is stepped."""

    def setUp(self) -> None:
        """Write a first limit, and begin with it."""
        self.path = os.path.abspath(self.mktemp())
        self.patch(file, "DEFAULT", self.path)
        self.reactor = SteppedReactor()
        self.pool = SteppedPool()
        self.write(LIMIT.format(5))
        self.begin(findConfig(None))

    def begin(self, config: Config, isRead: bool = True) -> None:
        """Begin with what a file said."""
        #: The rules that were let hold, one behind the other.
        self.held: list[Rules] = []
        run = partial(deferToThreadPool, self.reactor, self.pool)
        self.reloader = PolicyReloader(config, run, self.held.append, isRead)

    def write(self, text: str) -> None:
        """Change the file."""
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)

    def step(self) -> None:
        """Let the thread read once, and the reactor hear of it."""
        self.pool.step()
        self.reactor.advance(0)

    def reload(self) -> list[str | None]:
        """Read the file again; return what is logged."""
        with capturedLogs() as events:
            done = self.reloader.reload()
            self.step()
        self.successResultOf(done)
        return [formatEvent(event) for event in events]

    def refuse(self) -> None:
        """Read the file again, which is refused."""
        done = self.reloader.reload()
        self.step()
        self.assertIn(self.path, str(self.failureResultOf(done, ConfigError).value))

    @property
    def limits(self) -> list[int]:
        """Return the limits that were let hold."""
        found = [rules.of(b"q") for rules in self.held]
        return [rule.maxItems for rule in found if rule is not None]


class FileTests(ReloadTestCase):
    """A file that changes."""

    def test_replaced(self) -> None:
        """Rules are replaced as a whole; those of before do not change."""
        said = f"{self.path} is read again: 1 [queue] tables"
        for limit in (1, 2):
            self.write(LIMIT.format(limit))
            self.assertEqual(self.reload(), [said])
        self.assertEqual(self.held[0].of(b"q"), Rule(maxItems=1))
        self.assertEqual(self.held[1].of(b"q"), Rule(maxItems=2))

    def test_mistake(self) -> None:
        """A file with a mistake changes nothing, wherever it is."""
        for text in ("[", LIMIT.format(-1), LIMIT.format(2) + "[server]\nport = -1\n"):
            self.write(text)
            self.refuse()
        os.remove(self.path)
        self.refuse()
        self.assertEqual(self.held, [])

    def test_appeared(self) -> None:
        """A file that is at the default place by now is read, and has to stay."""
        self.begin(Config())
        os.remove(self.path)
        self.assertEqual(self.reload(), [])
        self.assertEqual(self.held, [])
        self.write(LIMIT.format(1))
        self.reload()
        self.assertEqual(self.limits, [1])
        os.remove(self.path)
        self.refuse()

    def test_notRead(self) -> None:
        """With --no-config none is read."""
        self.begin(Config(), isRead=False)
        self.assertEqual((self.reload(), self.held), ([], []))

    def test_server(self) -> None:
        """The options changed in [server] since the start are named each time."""
        self.write("[server]\nport = 1\nhome = '/h'\nno-sync = true\n")
        self.begin(findConfig(None))
        self.write("[server]\nport = 2\nhome = '/h'\nverbose = 1\n")
        expected = (
            f"{self.path}: changed in [server] or [web], and takes effect when memq is "
            "started again: no-sync, port, verbose"
        )
        for _ in range(2):
            self.assertEqual(self.reload()[1:], [expected])


class OrderTests(ReloadTestCase):
    """Readings, step by step."""

    def test_told(self) -> None:
        """A caller is told when the rules hold, and nothing holds before."""
        self.write(LIMIT.format(1))
        done = self.reloader.reload()
        self.pool.step()
        self.assertNoResult(done)
        self.assertEqual(self.held, [])
        self.reactor.advance(0)
        self.successResultOf(done)
        self.assertEqual(self.limits, [1])

    def test_atOnce(self) -> None:
        """Those that ask while a file is read share the reading that comes behind."""
        first = self.reloader.reload()
        self.pool.step()
        self.write(LIMIT.format(2))
        others = [self.reloader.reload() for _ in range(3)]
        self.assertEqual(self.pool.pending, 0)
        self.reactor.advance(0)
        self.successResultOf(first)
        for each in others:
            self.assertNoResult(each)
        self.step()
        for each in others:
            self.successResultOf(each)
        self.assertEqual((self.limits, self.pool.pending), ([5, 2], 0))

    def test_mistake(self) -> None:
        """A mistake is told to those that asked before; the next one may do better."""
        self.write("[")
        both = [self.reloader.reload() for _ in range(2)]
        self.step()
        self.failureResultOf(both[0], ConfigError)
        self.write(LIMIT.format(3))
        self.step()
        self.successResultOf(both[1])
        self.assertEqual(self.limits, [3])

    def test_again(self) -> None:
        """A caller that asks anew when told is told of a reading of its own."""
        told: list[Deferred[None]] = []
        done = self.reloader.reload()
        done.addCallback(lambda _: told.append(self.reloader.reload()))
        self.step()
        self.assertNoResult(told[0])
        self.step()
        self.successResultOf(told[0])

    def test_yields(self) -> None:
        """Python is handed on sooner while a file is read, and as before behind it."""
        before = sys.getswitchinterval()
        seen: list[Any] = []

        def read(path: str) -> Config:
            seen[:] = sys.getswitchinterval(), gc.isenabled()
            return Config(path)

        self.patch(reload, "findConfig", read)
        for enabled in (True, False):
            (gc.enable if enabled else gc.disable)()
            self.addCleanup(gc.enable)
            self.reload()
            self.assertAlmostEqual(seen[0], SWITCH)
            self.assertEqual((seen[1], gc.isenabled()), (False, enabled))
        self.assertEqual(sys.getswitchinterval(), before)
