"""While a backup copies a home, no file goes that it may need."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from memq.storage.datadir.home import held, removing
from memq.test.storage.bdb.test_compaction import RotationTestCase, files
from memq.test.support.homes import SMALL, BDBTestCase
from testkit.servers import PATIENCE, environment


class HoldingTests(SynchronousTestCase):
    """The lock."""

    def setUp(self) -> None:
        """Make a directory."""
        self.path = os.path.abspath(self.mktemp())
        os.mkdir(self.path)

    def mayRemove(self) -> bool:
        """Return whether a server may remove files."""
        with removing(self.path) as allowed:
            return allowed

    def test_held(self) -> None:
        """Nothing may be removed while one backup is made, or several are."""
        self.assertTrue(self.mayRemove())
        with held(self.path):
            self.assertFalse(self.mayRemove())
            with held(self.path):
                self.assertFalse(self.mayRemove())
            self.assertFalse(self.mayRemove())
        self.assertTrue(self.mayRemove())

    def test_fails(self) -> None:
        """A backup that fails lets go, and so does a removal."""
        for work in (held, removing):
            with ExitStack() as stack:
                stack.enter_context(work(self.path))
                stack.pop_all().__exit__(None, None, None)
            self.assertTrue(self.mayRemove())

    def test_waits(self) -> None:
        """A backup waits for a removal that is under way."""
        began = threading.Event()

        def hold() -> None:
            with held(self.path):
                began.set()

        thread = threading.Thread(target=hold)
        with removing(self.path) as allowed:
            self.assertTrue(allowed)
            thread.start()
            self.assertFalse(began.wait(0.05))
        self.assertTrue(began.wait(PATIENCE))
        thread.join(PATIENCE)

    def test_killed(self) -> None:
        """A backup that is killed lets go."""
        script = (
            "import sys; from memq.storage.datadir.home import held\n"
            f"with held({self.path!r}): print('held', flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
        ) as process:
            assert process.stdout is not None
            self.assertEqual(process.stdout.readline(), b"held\n")
            self.assertFalse(self.mayRemove())
            process.kill()
            process.wait(PATIENCE)
        self.assertTrue(self.mayRemove())


class LogTests(BDBTestCase):
    """Log files while a backup is made."""

    def test_logs(self) -> None:
        """They stay meanwhile, and go with a later checkpoint."""
        store: Any = self.openStore(SMALL)
        for _ in range(40):
            self.fill(store, b"q", b"x" * 60_000)
        store.checkpoint()
        with held(store.home.directory):
            self.assertEqual(store.removeLogs(), 0)
        self.assertGreater(store.removeLogs(), 0)


class RetireTests(RotationTestCase):
    """A file that all messages have left, while a backup is made."""

    def test_retire(self) -> None:
        """It stays meanwhile, without a checkpoint, and goes afterwards."""
        self.move(self.store)
        checkpoints: list[None] = []
        environment = self.store.environment
        patch = self.patch(environment, "checkpoint", lambda: checkpoints.append(None))
        with held(self.store.home.directory):
            self.assertEqual(self.store.tidy(), 0)
            self.assertSame(self.store, "messages", "messages.1")
        self.assertEqual(checkpoints, [])
        patch.restore()
        self.assertGreater(self.store.tidy(), 0)
        self.assertEqual(files(self.store), ["messages.1"])
