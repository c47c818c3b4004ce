"""The rules are read again in a thread, one reading at a time."""

from __future__ import annotations

import gc
import sys
from functools import partial
from typing import Any, cast

from twisted.internet.threads import deferToThreadPool
from twisted.trial.unittest import SynchronousTestCase

from memq.config.reloads import SWITCH, Reloads
from memq.errors import ConfigError
from memq.test.support.stepped import SteppedPool, SteppedReactor


class FakeRulebook:
    """A rulebook whose file has a number."""

    def __init__(self) -> None:
        self.file = 0
        self.rules = 0
        self.switch = 0.0
        self.collects = True
        self.error: Exception | None = None

    def read(self) -> int:
        """Return what the file has."""
        self.switch = sys.getswitchinterval()
        self.collects = gc.isenabled()
        if self.error is not None:
            raise self.error
        return self.file

    def take(self, number: int) -> None:
        """Let it hold."""
        self.rules = number


class ReloadsTests(SynchronousTestCase):
    """Readings, step by step."""

    def setUp(self) -> None:
        """Have a pool that is stepped."""
        self.reactor = SteppedReactor()
        self.pool = SteppedPool()
        self.book = FakeRulebook()
        run = partial(deferToThreadPool, self.reactor, self.pool)
        self.reloads = Reloads(cast("Any", self.book), run)

    def step(self) -> None:
        """Let the thread read once, and the reactor hear of it."""
        self.pool.step()
        self.reactor.advance(0)

    def test_told(self) -> None:
        """Whoever asks is told when the rules hold, and nothing holds before."""
        self.book.file = 1
        done = self.reloads.reload()
        self.pool.step()
        self.assertNoResult(done)
        self.assertEqual(self.book.rules, 0)
        self.reactor.advance(0)
        self.successResultOf(done)
        self.assertEqual(self.book.rules, 1)

    def test_atOnce(self) -> None:
        """Those that ask while a file is read share the reading that comes behind."""
        first = self.reloads.reload()
        self.pool.step()
        self.book.file = 2
        others = [self.reloads.reload() for _ in range(3)]
        self.assertEqual(self.pool.pending, 0)
        self.reactor.advance(0)
        self.successResultOf(first)
        for each in others:
            self.assertNoResult(each)
        self.step()
        for each in others:
            self.successResultOf(each)
        self.assertEqual((self.book.rules, self.pool.pending), (2, 0))

    def test_mistake(self) -> None:
        """A mistake is told to those that asked before; the next one may do better."""
        self.book.error = ConfigError("/m.toml", 1, "no")
        both = [self.reloads.reload() for _ in range(2)]
        self.step()
        self.failureResultOf(both[0], ConfigError)
        self.book.error = None
        self.book.file = 3
        self.step()
        self.successResultOf(both[1])
        self.assertEqual(self.book.rules, 3)

    def test_again(self) -> None:
        """Who asks anew when told is told of a reading of its own."""
        told: list[Any] = []
        self.reloads.reload().addCallback(lambda _: told.append(self.reloads.reload()))
        self.step()
        self.assertNoResult(told[0])
        self.step()
        self.successResultOf(told[0])

    def test_yields(self) -> None:
        """Python is handed on sooner while a file is read, and as before behind it."""
        before = sys.getswitchinterval()
        for enabled in (True, False):
            (gc.enable if enabled else gc.disable)()
            self.addCleanup(gc.enable)
            done = self.reloads.reload()
            self.step()
            self.successResultOf(done)
            self.assertAlmostEqual(self.book.switch, SWITCH)
            self.assertFalse(self.book.collects)
            self.assertEqual(gc.isenabled(), enabled)
        self.assertEqual(sys.getswitchinterval(), before)
