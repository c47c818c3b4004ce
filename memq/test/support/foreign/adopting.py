"""Homes for the tests of adoption: taken over, looked into, killed at any moment."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import HomeError
from memq.memcacheq import adoption as module
from memq.memcacheq.adoption import ASIDE, COPY, Adoption
from memq.memcacheq.copy import Copy
from memq.memcacheq.directory import MOVED, makeWay
from memq.memcacheq.staging import Staging
from memq.storage.bdb.store import BDBStore
from memq.storage.bdb.transaction import Transaction
from memq.storage.datadir.home import Home
from memq.storage.engine.binding import StoreSettings
from memq.storage.engine.environment import Environment
from memq.test.support.foreign.memcacheqdirs import MemcacheQ, scratch
from memq.test.support.homes import queues

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memq.test.support.homes import Queues


class AdoptionTestCase(SynchronousTestCase):
    """A directory that a start of memq is going to meet.

    :ivar lines: what was said by the adoptions.
    """

    def setUp(self) -> None:
        """Name it."""
        self.path = os.path.join(scratch(self), "home")
        self.lines: list[str] = []

    def store(self, path: str) -> tuple[Home, BDBStore]:
        """Return the home at a path, held, and its store, open; both end by themselves.

        Closing both before is no harm.
        """
        home = Home(path)
        home.prepare(makeWay=makeWay)
        self.addCleanup(home.release)
        store = BDBStore(home, StoreSettings(cacheSize=1 << 20))
        self.addCleanup(store.close)
        store.open()
        return home, store

    def adopt(
        self,
        path: str | None = None,
        prepare: Callable[[Adoption, BDBStore], object] = lambda adoption, store: 0,
        **options: Any,
    ) -> Any:
        """Start memq, and return the Queues it has then; None if it was interrupted.

        :param prepare: is given the parts before the adoption runs.
        """
        home, store = self.store(path or self.path)
        try:
            adoption = Adoption(home, store, self.lines.append, **options)
            prepare(adoption, store)
            return queues(store) if adoption.run() else None
        finally:
            store.close()
            home.release()

    def notAdopted(self, *words: str, **options: Any) -> str:
        """Start memq, which refuses it in one line with these words; return that."""
        why = str(self.assertRaises(HomeError, self.adopt, **options))
        self.assertNotIn("\n", why)
        for each in words:
            self.assertIn(each, why)
        return why

    @contextmanager
    def failing(self, owner: object, name: str, error: Exception) -> Iterator[None]:
        """Let a method fail for a time."""

        def fail(*arguments: object) -> None:
            raise error

        patch = self.patch(owner, name, fail)
        yield
        patch.restore()

    @contextmanager
    def atBegin(self, work: Callable[[], object]) -> Iterator[None]:
        """Do something whenever an adoption has just begun."""
        begin = Staging.beginAdoption

        def beginAdoption(staging: Staging, fingerprint: bytes) -> None:
            begin(staging, fingerprint)
            work()

        patch = self.patch(Staging, "beginAdoption", beginAdoption)
        yield
        patch.restore()

    def stagePart(self, messages: int = 1) -> None:
        """Start memq, and interrupt it when it has taken so many messages over."""
        stage, staged = Staging.stage, 0

        def counted(*arguments: Any) -> None:
            nonlocal staged
            stage(*arguments)
            staged += len(arguments[-1])
            if staged >= messages:
                adoption[0].interrupt()

        adoption: list[Adoption] = []
        patches = [
            self.patch(Staging, "stage", counted),
            self.patch(module, "BATCH", 2),
        ]
        self.assertIsNone(self.adopt(prepare=lambda one, _: adoption.append(one)))
        for patch in patches:
            patch.restore()

    def assertSaid(self, *words: str) -> None:
        """Assert that for each of these words there was a line."""
        for each in words:
            self.assertTrue([line for line in self.lines if each in line], each)

    def at(self, name: str) -> str:
        """Return the path of a file of MemcacheQ's."""
        return os.path.join(self.path, name)

    def remove(self, *names: str) -> None:
        """Remove files of MemcacheQ's."""
        for name in names:
            os.remove(self.at(name))

    def listed(self, path: str | None = None) -> set[str]:
        """Return the names of MemcacheQ's files."""
        names = os.listdir(path or self.path)
        return {name for name in names if name not in ("memq", os.fsdecode(MOVED))}

    def kept(self, home: str | None = None) -> set[str]:
        """Return the names of MemcacheQ's files that were kept aside."""
        return set(os.listdir(os.path.join(home or self.path, "memq", ASIDE)))

    def checkGone(self, path: str) -> None:
        """Check that nothing of MemcacheQ's is left, nor of what was made of it."""
        self.assertEqual(os.listdir(path), ["memq"])
        self.assertNotIn(COPY, os.listdir(os.path.join(path, "memq")))

    def written(self) -> tuple[MemcacheQ, Queues]:
        """Return a MemcacheQ that has worked, and what memq is to have of that."""
        old = MemcacheQ(self.path + ".old")
        old.push(b"q", *(b"%d" % number for number in range(45)))
        old.pop(b"q", 41)
        old.push(b"q", b"", flags=-1)
        old.push(b"drained", b"x")
        old.pop(b"drained")
        last = [(0, b"%d" % number) for number in range(41, 45)]
        want: Queues = {b"drained": (1, 1, [])}
        want[b"q"] = (46, 41, [*last, (2**32 - 1, b"")])
        for name in (b"memq", b"messages", b"queues", b"lock"):
            old.push(name, b"in " + name, flags=5)
            want[name] = (1, 0, [(5, b"in " + name)])
        return old, want

    def stopped(self) -> Queues:
        """Write the directory of a MemcacheQ that was stopped."""
        old, want = self.written()
        old.stop()
        os.rename(old.path, self.path)
        return want

    def killed(self) -> Queues:
        """Write the directory of a MemcacheQ that was killed."""
        old, want = self.written()
        old.kill(self.path)
        return want

    def snapshots(
        self, chosen: Callable[[int], bool] = lambda number: True, **options: Any
    ) -> list[str]:
        """Adopt, and return copies of the home as kills had left it.

        :param chosen: behind which changes of files there is one; they are counted
            from 0.
        """
        base = self.path + ".killed"
        taken: list[str] = []
        numbers = count()

        def after(owner: Any, name: str) -> Any:
            original = getattr(owner, name)

            def call(*arguments: Any, **named: Any) -> Any:
                result = original(*arguments, **named)
                number = next(numbers)
                if chosen(number):
                    taken.append(os.path.join(base, str(number)))
                    shutil.copytree(self.path, taken[-1], symlinks=True)
                return result

            return self.patch(owner, name, call)

        patches = [
            after(Transaction, "commit"),
            after(Environment, "flush"),
            after(Environment, "checkpoint"),
            after(Copy, "finish"),
            after(os, "unlink"),
            after(os, "rename"),
        ]
        self.adopt(**options)
        for patch in patches:
            patch.restore()
        return taken
