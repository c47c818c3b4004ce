"""A home is opened whole, or refused in one line and left as it is."""

from __future__ import annotations

import errno
import os
import shutil
from typing import Any

from memq.errors import HomeError
from memq.storage.engine.marker import Marker, readMarker, writeMarker
from memq.test.support.homes import (
    BDBTestCase,
    contents,
    dump,
    refusing,
)

#: A log file.
LOG = "log.0000000001"


class OpeningTests(BDBTestCase):
    """Homes that a store refuses to open, in one line."""

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

    def test_refused(self) -> None:
        """A file missing, cut, replaced or damaged is named; nothing is made of it."""
        other = self.openStore()
        self.fill(other, b"other", *[b"x" * 10_000] * 3)
        other.close()
        (others,) = self.logs(other.home.path)

        def garbled(log: str) -> None:
            with open(log, "r+b") as file:
                file.seek(300)
                file.write(b"\xff" * (os.path.getsize(log) - 300))

        def replaced(table: str) -> None:
            with open(table, "wb") as file:
                file.write(b"not a table" * 1000)

        def remarked(safe: str) -> None:
            directory = os.path.dirname(safe)
            marker = readMarker(directory)
            assert marker is not None
            another = Marker.of(marker.file, marker.offset, b"another record")
            writeMarker(directory, another)

        def unreadable(safe: str) -> None:
            os.unlink(safe)
            os.mkdir(safe)

        for name, damage, why in (
            (LOG, os.unlink, "{} is missing"),
            (LOG, lambda log: os.truncate(log, 200), "{} has 200 bytes only"),
            # It is not cut there in silence.
            (LOG, garbled, "{} does not have the record"),
            # Another home's, that is long enough.
            (LOG, lambda log: shutil.copy(others, log), "{} does not have the record"),
            ("messages", os.unlink, "{} is missing"),
            ("messages", replaced, "Berkeley DB cannot open it"),
            (
                "safe",
                lambda safe: writeMarker(os.path.dirname(safe), Marker(1, 301, 7)),
                "that was synced at byte 301",
            ),
            ("safe", remarked, "does not have the record"),
            ("safe", unreadable, "{}"),
        ):
            path = os.path.join(self.closed(), "memq", name)
            damage(path)
            home = os.path.dirname(os.path.dirname(path))
            self.assertIn(why.format(path), self.refused(home))

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

    def test_noRoom(self) -> None:
        """A first start without room is refused, and the next one completes it."""
        store = self.makeStore()
        patch = self.patch(os, "replace", refusing(errno.ENOSPC))
        error = self.assertRaises(HomeError, store.open)
        self.assertIn("No space left on device", str(error))
        self.assertTrue(store.home.isNew)
        patch.restore()
        store.open()
        self.assertFalse(store.home.isNew)

    def test_refusedLetsGo(self) -> None:
        """A store that did not open has nothing open, but for the home and its lock."""

        def damageRow(store: Any) -> str:
            store.transaction.queues.put(b"q", b"\xffgarbage")
            store.close()
            return "queue q"

        def removeTable(store: Any) -> str:
            store.close()
            os.unlink(os.path.join(store.home.directory, "queues"))
            return "queues is missing"

        def replaceTable(store: Any) -> str:
            store.close()
            with open(os.path.join(store.home.directory, "queues"), "wb") as file:
                file.write(b"not a table" * 1000)
            return "Berkeley DB cannot open it"

        for damage in (damageRow, removeTable, replaceTable):
            store = self.openStore()
            words = damage(store)
            self.assertIn(words, str(self.assertRaises(HomeError, store.open)))
            links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
            files = [os.readlink(link) for link in links if os.path.islink(link)]
            directory = store.home.directory
            self.assertEqual(
                sorted(file for file in files if file.startswith(directory)),
                [directory, os.path.join(directory, "lock")],
            )

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
