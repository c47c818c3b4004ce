"""Time and threads that move only when a test says so."""

from __future__ import annotations

import gc
from collections import deque
from functools import cache
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

if TYPE_CHECKING:
    from collections.abc import Callable


@implementer(IReactorFromThreads)
class SteppedReactor(Clock):
    """A clock that also takes calls from threads, and can do one iteration."""

    def callFromThread(
        self, callable: Callable[..., Any], *args: object, **kwargs: object
    ) -> None:
        """Call in the next iteration."""
        self.callLater(0, callable, *args, **kwargs)

    def iterate(self) -> None:
        """Make the calls that are due now, and none that those ask for."""
        for call in [each for each in self.calls if each.getTime() <= self.seconds()]:
            self.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)


class SteppedPool(ThreadPool):
    """A thread pool that has no threads: ``step`` runs what a thread would.

    Nothing may come after it was stopped: a real one would drop it in silence.
    """

    def __init__(
        self, name: str = "pool", journal: Callable[[str], object] = lambda event: None
    ) -> None:
        """Make a pool that is not started, and need not be.

        :param journal: is told when it is started and stopped.
        """
        # What ThreadPool makes is for its threads, and takes a third of a server's
        # parts; thousands of those are made.
        self.name = name
        self.started = self.joined = False
        self._journal = journal
        self._waiting: deque[Callable[[], None]] = deque()

    def start(self) -> None:
        """Note it."""
        self.started = True
        self._journal(f"start {self.name}")

    def stop(self) -> None:
        """End; whatever waits is never run."""
        self.joined = True
        self._waiting.clear()
        self._journal(f"stop {self.name}")

    def callInThreadWithCallback(
        self,
        onResult: Callable[[bool, Any], object] | None,
        func: Callable[..., Any],
        *args: Any,
        **kw: Any,
    ) -> None:
        """Keep a call for ``step``."""
        assert onResult is not None
        assert not self.joined, f"{func} comes after the end"
        told = onResult

        def run() -> None:
            try:
                result = func(*args, **kw)
            except Exception:
                told(False, Failure())
            else:
                told(True, result)

        self._waiting.append(run)

    @property
    def pending(self) -> int:
        """How many calls wait."""
        return len(self._waiting)

    def step(self) -> bool:
        """Run the call that has waited longest; return whether there was one."""
        if not self._waiting:
            return False
        self._waiting.popleft()()
        return True


def collect() -> None:
    """Collect garbage, so that a lost Failure is that of the test that ends.

    All modules of a run are there by its first test.  They are left out from then on;
    looking at them after each test would take half the time of most packages.
    """
    gc.collect()
    _freeze()


@cache
def _freeze() -> None:
    gc.freeze()


class SteppedTestCase(SynchronousTestCase):
    """A test in which nothing happens by itself, and no Failure is lost."""

    def tearDown(self) -> None:
        """Collect what the test has left."""
        collect()
