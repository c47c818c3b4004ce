"""Berkeley DB's log files, read from outside."""

from __future__ import annotations

import os
import shutil
from typing import Any

from memq.errors import HomeError
from memq.storage.datadir.home import Home
from memq.storage.engine.logfile import logName, readRecord
from memq.storage.engine.marker import isSettled, lastCheckpoint, readMarker
from memq.test.support.homes import BDBTestCase


class LogTests(BDBTestCase):
    """Checkpoints and records found in a log."""

    def setUp(self) -> None:
        """Open a store with something in it."""
        self.store: Any = self.openStore()
        self.directory = self.store.home.directory
        self.fill(self.store, b"q", *[b"x" * 60_000] * 40)

    def marker(self) -> Any:
        """Return the marker."""
        marker = readMarker(self.directory)
        assert marker is not None
        return marker

    def test_lastCheckpoint(self) -> None:
        """All that was logged before a checkpoint is in the tables."""
        before = self.store.environment.position()
        self.store.checkpoint()
        file, offset = lastCheckpoint(self.directory, self.marker())
        self.assertEqual(file, before.file)
        record = readRecord(self.directory, file, offset)
        assert record is not None
        self.assertEqual(offset + record.size, before.offset)

    def test_behind(self) -> None:
        """A checkpoint is found in an earlier file than the marker is in."""
        self.store.checkpoint()
        place = lastCheckpoint(self.directory, self.marker())
        environment = self.store.environment
        file = place[0]
        while environment.position().file == file:
            self.fill(self.store, b"q", b"x" * 60_000)
        self.store.flush()
        cursor = environment.handle.log_cursor()
        (file, offset), _ = cursor.last()
        cursor.close()
        self.assertEqual(file, place[0] + 1)
        marker = self.marker()._replace(file=file, offset=offset)
        self.assertEqual(lastCheckpoint(self.directory, marker), place)

    def test_nothingThere(self) -> None:
        """Without the record of the marker there is nothing to begin with."""
        for marker in (
            self.marker()._replace(offset=1 << 30),
            self.marker()._replace(file=77),
        ):
            error = self.assertRaises(HomeError, lastCheckpoint, self.directory, marker)
            self.assertIn(f"{logName(marker.file)} has no record", str(error))
            self.assertFalse(isSettled(self.directory, marker))

    def test_noRecord(self) -> None:
        """Bytes that cannot be a record are not taken for one."""
        marker = self.marker()
        path = os.path.join(self.directory, logName(marker.file))
        with open(path, "r+b") as file:
            os.pwrite(file.fileno(), b"\1\0\0\0", marker.offset + 4)
        error = self.assertRaises(HomeError, lastCheckpoint, self.directory, marker)
        self.assertIn(f"{path} is damaged at byte {marker.offset}", str(error))

    def settled(self, path: str) -> bool:
        """Return whether the tables of a home have all that is in its log."""
        directory = Home(path).directory
        marker = readMarker(directory)
        assert marker is not None
        return isSettled(directory, marker)

    def test_closed(self) -> None:
        """After a close the tables have everything, zeros ahead or not."""
        self.store.close()
        path = self.store.home.path
        self.assertTrue(self.settled(path))
        with open(os.path.join(self.directory, logName(1000)), "wb") as file:
            file.write(bytes(5000))
        self.assertTrue(self.settled(path))

    def test_killed(self) -> None:
        """After a kill they may not."""
        self.store.checkpoint()
        self.fill(self.store, b"q", b"one more")
        self.store.flush()
        path = self.mktemp()
        shutil.copytree(self.store.home.path, path)
        self.assertFalse(self.settled(path))

    def test_fileBegun(self) -> None:
        """They may not when a log file was begun since."""
        self.store.close()
        number = self.marker().file
        first = os.path.join(self.directory, logName(number))
        shutil.copy(first, os.path.join(self.directory, logName(number + 1)))
        self.assertFalse(self.settled(self.store.home.path))
