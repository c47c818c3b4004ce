"""Homes for the tests of adoption: taken over, looked into, killed at any moment."""

from __future__ import annotations

import os
import shutil
from itertools import count
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from memq.memcacheq.adoption import COPY, Adoption
from memq.memcacheq.copy import Copy
from memq.memcacheq.directory import makeWay
from memq.storage.bdb.store import BDBStore
from memq.storage.bdb.transaction import Transaction
from memq.storage.datadir.home import Home
from memq.storage.engine.binding import StoreSettings
from memq.test.support.homes import queues
from memq.test.support.memcacheqdirs import MemcacheQ, scratch

if TYPE_CHECKING:
    from collections.abc import Callable

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
    ) -> Queues | None:
        """Start memq, and return what it has then; None if it was interrupted.

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

    def said(self, words: str) -> bool:
        """Return whether a line had these words."""
        return any(words in line for line in self.lines)

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
        for name in (b"memq", b"messages", b"queues", b"lock"):
            old.push(name, b"in " + name, flags=5)
        old.push(b"drained", b"x")
        old.pop(b"drained")
        want: Queues = {
            name: (1, 0, [(5, b"in " + name)])
            for name in (b"memq", b"messages", b"queues", b"lock")
        }
        want[b"drained"] = (1, 1, [])
        last = [(0, b"%d" % number) for number in range(41, 45)]
        want[b"q"] = (46, 41, [*last, (2**32 - 1, b"")])
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
            after(BDBStore, "flush"),
            after(BDBStore, "checkpoint"),
            after(Copy, "finish"),
            after(os, "unlink"),
            after(os, "rename"),
        ]
        self.adopt(**options)
        for patch in patches:
            patch.restore()
        return taken
