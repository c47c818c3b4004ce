"""A home is opened whole, or refused in one line and left as it is."""

from __future__ import annotations

import errno
import os
import shutil
from typing import Any

from memq.errors import HomeError
from memq.storage.engine.marker import Marker, readMarker, writeMarker
from memq.test.support.homes import BDBTestCase, contents, dump


class OpeningTests(BDBTestCase):
    """What a store refuses to open, in one line."""

    def closed(self) -> str:
        """Return the directory of a home that a store wrote and closed."""
        store = self.openStore()
        self.fill(store, b"q", b"1")
        store.close()
        store.home.release()
        return store.home.path

    def refused(self, path: str) -> str:
        """Return why a store does not open there."""
        store = self.storeAt(path)
        message = str(self.assertRaises(HomeError, store.open))
        store.close()
        store.home.release()
        self.assertNotIn("\n", message)
        return message

    def logs(self, path: str) -> list[str]:
        """Return the log files in a home that log is in, the oldest first."""
        directory = os.path.join(path, "memq")
        names = sorted(name for name in os.listdir(directory) if name[:4] == "log.")
        paths = [os.path.join(directory, name) for name in names]
        # The next ones are there, empty.
        return [path for path in paths if os.path.getsize(path)]

    def test_logRemoved(self) -> None:
        """A log file that is gone is named, and nothing is opened as empty."""
        path = self.closed()
        (log,) = self.logs(path)
        os.unlink(log)
        self.assertIn(f"{log} is missing", self.refused(path))

    def test_logCut(self) -> None:
        """A log cut before the marker is named."""
        path = self.closed()
        (log,) = self.logs(path)
        os.truncate(log, 200)
        self.assertIn(f"{log} has 200 bytes only", self.refused(path))

    def test_logDamaged(self) -> None:
        """A log damaged before the marker is refused, not cut there in silence."""
        path = self.closed()
        (log,) = self.logs(path)
        with open(log, "r+b") as file:
            file.seek(300)
            file.write(b"\xff" * (os.path.getsize(log) - 300))
        self.assertIn(f"{log} does not have the record", self.refused(path))

    def test_refusalChangesNothing(self) -> None:
        """A refused log is left as it was; once it is put right, all is there."""
        path = self.closed()
        marker = readMarker(os.path.join(path, "memq"))
        assert marker is not None
        (log,) = self.logs(path)
        # The record's length, its checksum, and its own first byte.
        for offset in (4, 16, 28):
            with open(log, "r+b") as file:
                place = marker.offset + offset
                before = os.pread(file.fileno(), 1, place)
                os.pwrite(file.fileno(), bytes([before[0] ^ 255]), place)
                damaged = contents(path)
                self.assertIn(f"{log} does not have the record", self.refused(path))
                self.assertEqual(contents(path), damaged)
                os.pwrite(file.fileno(), before, place)
        store = self.storeAt(path)
        store.open()
        self.assertEqual(dump(store), "q 1/0\n  0 0 b'1'")

    def test_logReplaced(self) -> None:
        """A log that is another home's is refused, long enough or not."""
        path, other = self.closed(), self.openStore()
        for _ in range(3):
            self.fill(other, b"other", b"x" * 10_000)
        other.close()
        (log,) = self.logs(path)
        shutil.copyfile(self.logs(other.home.path)[0], log)
        self.assertIn(f"{log} does not have the record", self.refused(path))

    def test_tableMissing(self) -> None:
        """A table that is gone does not become an empty one."""
        path = self.closed()
        table = os.path.join(path, "memq", "messages")
        os.unlink(table)
        self.assertIn(f"{table} is missing", self.refused(path))

    def test_tableReplaced(self) -> None:
        """A table that is something else is refused with Berkeley DB's reason."""
        path = self.closed()
        with open(os.path.join(path, "memq", "messages"), "wb") as file:
            file.write(b"not a table" * 1000)
        self.assertIn("Berkeley DB cannot open it", self.refused(path))

    def test_markerInTheMiddle(self) -> None:
        """A marker that points at no record is refused."""
        path = self.closed()
        writeMarker(os.path.join(path, "memq"), Marker(1, 301, 7))
        self.assertIn("that was synced at byte 301", self.refused(path))

    def test_recordReplaced(self) -> None:
        """A record in the right place that is not the marked one is refused."""
        path = self.closed()
        marker = readMarker(os.path.join(path, "memq"))
        assert marker is not None
        another = Marker.of(marker.file, marker.offset, b"another record")
        writeMarker(os.path.join(path, "memq"), another)
        self.assertIn("does not have the record", self.refused(path))

    def test_markerUnreadable(self) -> None:
        """A marker that cannot be read is named."""
        path = self.closed()
        marker = os.path.join(path, "memq", "safe")
        os.unlink(marker)
        os.mkdir(marker)
        self.assertIn(marker, self.refused(path))

    def test_noRoom(self) -> None:
        """A first start without room is refused, and the next one completes it."""

        def fail(*arguments: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        store = self.makeStore()
        patch = self.patch(os, "replace", fail)
        error = self.assertRaises(HomeError, store.open)
        self.assertIn("No space left on device", str(error))
        self.assertTrue(store.home.isNew)
        patch.restore()
        store.open()
        self.assertFalse(store.home.isNew)

    def test_refusedLetsGo(self) -> None:
        """A store that did not open has nothing open, but for the home and its lock."""

        def damageRow(store: Any) -> None:
            store.transaction.queues.put(b"q", b"\xffgarbage")
            store.close()

        def removeTable(store: Any) -> None:
            store.close()
            os.unlink(os.path.join(store.home.directory, "queues"))

        def replaceTable(store: Any) -> None:
            store.close()
            with open(os.path.join(store.home.directory, "queues"), "wb") as file:
                file.write(b"not a table" * 1000)

        for damage in (damageRow, removeTable, replaceTable):
            store = self.openStore()
            damage(store)
            self.assertRaises(HomeError, store.open)
            links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
            files = [os.readlink(link) for link in links if os.path.islink(link)]
            directory = store.home.directory
            self.assertEqual(
                sorted(file for file in files if file.startswith(directory)),
                [directory, os.path.join(directory, "lock")],
            )

    def test_rowDamaged(self) -> None:
        """A row that cannot be read names its queue."""
        store = self.openStore()
        store.transaction.queues.put(b"q", b"\xffgarbage")
        store.close()
        store.home.release()
        self.assertIn("queue q", self.refused(store.home.path))

    def test_closeUnopened(self) -> None:
        """Closing what was never opened, or twice, is nothing."""
        store = self.makeStore()
        store.close()
        store.open()
        store.close()
        store.close()

    def test_openedAgain(self) -> None:
        """A store that was closed can be opened again, and is what it was."""
        store = self.openStore()
        self.fill(store, b"q", *[b"x"] * 3)
        with store.transaction.run():
            store.delete(b"q")
        for _ in range(2):
            store.close()
            store.open()
        self.assertEqual(store.status()["queues_being_removed"], 1)

    def test_onlyANewHomeIsMade(self) -> None:
        """Only after all was made is the home no longer new."""
        store = self.makeStore()
        self.assertTrue(store.home.isNew)
        store.open()
        self.assertFalse(store.home.isNew)
