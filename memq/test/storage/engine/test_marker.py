"""The marker tells whether a log still has what was synced."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import HomeError
from memq.storage.engine.marker import Marker, readMarker, writeMarker


class MarkerTests(SynchronousTestCase):
    """The marker remembers a record, and refuses a log without it."""

    def setUp(self) -> None:
        """Make a directory with one log file of 100 bytes."""
        self.directory = self.mktemp()
        os.mkdir(self.directory)
        self.log = os.path.join(self.directory, "log.0000000003")
        self.write(self.log, b"x" * 100)

    def write(self, path: str, content: bytes) -> None:
        """Put content into a file."""
        with open(path, "wb") as file:
            file.write(content)

    def test_fileFormat(self) -> None:
        """The file holds file number, offset and CRC in one line."""
        self.assertIsNone(readMarker(self.directory))
        marker = Marker.of(3, 28, b"record")
        writeMarker(self.directory, marker)
        with open(os.path.join(self.directory, "safe"), "rb") as file:
            self.assertEqual(file.read(), b"3 28 2603917201".ljust(63) + b"\n")
        self.assertEqual(readMarker(self.directory), marker)

    def test_covers(self) -> None:
        """A marker knows its record from another."""
        marker = Marker.of(3, 28, b"record")
        self.assertTrue(marker.covers(b"record"))
        self.assertFalse(marker.covers(b"recorD"))

    def refused(self) -> str:
        """Return why the marker is refused."""
        return str(self.assertRaises(HomeError, readMarker, self.directory))

    def test_logTooShort(self) -> None:
        """A log file cut before the marker is named, with both lengths."""
        writeMarker(self.directory, Marker(3, 100, 7))
        self.assertIn(f"{self.log} has 100 bytes only", self.refused())

    def test_logMissing(self) -> None:
        """A log file that is missing is named."""
        writeMarker(self.directory, Marker(3, 28, 7))
        os.unlink(self.log)
        self.assertIn(f"{self.log} is missing", self.refused())

    def test_damaged(self) -> None:
        """A marker that is not three numbers is refused, and named."""
        path = os.path.join(self.directory, "safe")
        for content in (b"", b"3 28\n", b"3 28 x\n", b"3 28 7 9\n", b"3 -28 7\n"):
            self.write(path, content)
            self.assertIn(f"{path} is damaged", self.refused())
