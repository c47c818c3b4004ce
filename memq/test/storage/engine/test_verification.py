"""The log's files are looked at before they are recovered."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from memq.errors import DamagedHome, StoreError
from memq.storage.engine.environment import Environment
from memq.storage.engine.logfile import logName, logNumbers
from memq.storage.engine.marker import readMarker
from memq.storage.engine.verification import (
    checkFiles,
    headlessFrom,
    sayWhatFollows,
)
from memq.test.support.disks.wrecks import contents, fileIn, flip, snapshot
from memq.test.support.homes import NO_SPACE, SMALL, BDBTestCase, push, raising

if TYPE_CHECKING:
    from memq.storage.bdb.store import BDBStore


class LogTestCase(BDBTestCase):
    """Has a home that was killed, with a log of several files behind the marker."""

    def setUp(self) -> None:
        """Fill five files, but for the last one."""
        self.lines: list[str] = []
        store = self.openStore(SMALL)
        while store.environment.position().file < 5:
            push(store, b"q", 0, *[b"x" * 900] * 100)
        push(store, b"last", 0, *[b"y" * 900] * 20)
        self.count = store.status()["messages"]
        self.live = store
        self.path = snapshot(store, os.path.abspath(self.mktemp()))
        # The next one is there, and there is nothing in it.
        os.unlink(self.log(6))

    def log(self, number: int) -> str:
        """Return the path of a log file."""
        return fileIn(self.path, logName(number))

    def opened(self) -> BDBStore:
        """Return an open store on the home; ``lines`` gets what it says."""
        store = self.storeAt(self.path)
        store.environment.say = self.lines.append
        store.open()
        return store

    def refused(self) -> str:
        """Return why it is refused."""
        store = self.storeAt(self.path)
        return str(self.assertRaises(DamagedHome, store.open))

    def assertSaid(self, words: str) -> None:
        """Assert that one line is said, with these words in it."""
        self.assertEqual(len(self.lines), 1, self.lines)
        self.assertIn(words, self.lines[0])


class TailTests(LogTestCase):
    """Bytes behind the last record."""

    def test_nothing(self) -> None:
        """Nothing is said of a log that ends in zeros, or with its file."""
        self.assertEqual(self.opened().status()["messages"], self.count)
        self.assertEqual(self.lines, [])

    def test_garbage(self) -> None:
        """Garbage at the end costs nothing, and is said."""
        with open(self.log(5), "ab") as file:
            file.write(b"garbage" * 1000)
        self.assertEqual(self.opened().status()["messages"], self.count)
        self.assertSaid(f"{self.log(5)}: no record can be read from byte ")

    def test_damaged(self) -> None:
        """A damaged record behind the marker ends the log there, and that is said."""
        with open(self.log(5), "rb") as file:
            size = len(file.read().rstrip(b"\0"))
        flip(self.log(5), size - 10_000)
        store = self.opened()
        self.assertLess(store.status()["messages"], self.count)
        self.assertEqual(len(contents(store)[b"q"]), self.count - 20)
        self.assertSaid("if there was none, the file is damaged")
        place = int(self.lines[0].split("from byte ")[1].split(" ")[0])
        self.assertIn(f"but {size - place} bytes follow there", self.lines[0])

    def test_cut(self) -> None:
        """A last file that is cut behind the marker is one that was torn."""
        with open(self.log(5), "rb") as file:
            size = len(file.read().rstrip(b"\0"))
        os.truncate(self.log(5), size - 10_000)
        self.assertLess(self.opened().status()["messages"], self.count)
        self.assertSaid("no record can be read from byte")

    def test_tornHead(self) -> None:
        """A file whose head was not written as a whole is not read, and that is said.

        Berkeley DB alone would not start.
        """
        size = os.path.getsize(self.log(5))
        with open(self.log(5), "rb") as file:
            head = file.read(28)
        for keep in range(5, len(head.rstrip(b"\0"))):
            self.path = snapshot(self.live, os.path.abspath(self.mktemp()))
            with open(self.log(5), "wb") as file:
                file.write(head[:keep].ljust(size, b"\0"))
            self.lines.clear()
            store = self.opened()
            self.assertLess(store.status()["messages"], self.count)
            store.environment.letGo()
            store.home.release()
            self.assertSaid(f"{self.log(5)} begins with ")

    def test_nextFiles(self) -> None:
        """Bytes in files behind the last one count as well."""
        directory = self.mktemp()
        os.mkdir(directory)
        for number, text in {1: b"x" * 100, 2: b"", 3: b"\0" * 9 + b"z\0"}.items():
            with open(os.path.join(directory, logName(number)), "wb") as file:
                file.write(text)
        sayWhatFollows(directory, 2, 28, 5, self.lines.append)
        self.assertSaid(f"{logName(3)}: no record can be read from byte 0 on, but 10 ")


class MissingTests(LogTestCase):
    """Files that are not there, or are no files of a log."""

    def removeAll(self) -> None:
        """Remove all files."""
        for number in logNumbers(os.path.dirname(self.log(1))):
            os.unlink(self.log(number))

    def test_refused(self) -> None:
        """A file that is missing before others, cut, or no log file, is named."""
        goesOn = "of {} on, and goes on later"
        noHead = "{} is damaged: it does not begin"
        for number, damage, why in (
            (3, os.unlink, "{} is missing, and the log goes on"),
            (3, lambda path: flip(path, 13), noHead),
            # The marker points into it.
            (1, lambda path: flip(path, 13), noHead),
            (1, lambda _: self.removeAll(), "{} is missing, but was synced"),
            (3, lambda path: os.truncate(path, 500_000), goesOn),
            (3, lambda path: flip(path, 500_000), goesOn),
        ):
            self.path = snapshot(self.live, os.path.abspath(self.mktemp()))
            damage(self.log(number))
            found = self.refused()
            self.assertIn(why.format(self.log(number)), found)
        place = int(found.split("read from byte ")[1].split(" ")[0])
        self.assertTrue(490_000 < place <= 500_000, place)

    def test_head(self) -> None:
        """One without its head is told by its number."""
        flip(self.log(3), 13)
        self.assertEqual(headlessFrom(os.path.dirname(self.log(3))), 3)

    def test_nothingBehind(self) -> None:
        """A missing log file is not named where nothing goes on."""
        for number in (3, 4, 5):
            os.unlink(self.log(number))
        with open(self.log(4), "wb"):
            self.assertIsNone(headlessFrom(os.path.dirname(self.log(3))))

    def test_zerosBefore(self) -> None:
        """Zeros in the place of the head of an older file are told."""
        with open(self.log(1), "r+b") as file:
            file.write(bytes(100))
        checkFiles(os.path.dirname(self.log(1)), 3, self.lines.append)
        self.assertSaid(
            f"{self.log(1)} begins with zeros, as a power cut could leave it"
        )

    def test_zerosAhead(self) -> None:
        """A gap before files that hold zeros only is none."""
        with open(self.log(8), "wb") as file:
            file.write(bytes(1000))
        checkFiles(os.path.dirname(self.log(8)), 1)
        self.assertEqual(self.opened().status()["messages"], self.count)


class FollowTests(LogTestCase):
    """The marker follows the log into each of its files."""

    def marked(self) -> int:
        """Return the number of the file that the marker points into."""
        marker = readMarker(self.live.home.directory)
        assert marker is not None
        return marker.file

    def test_follows(self) -> None:
        """It does so once a file, without a checkpoint; what is missing is noticed."""
        self.assertEqual(self.marked(), 1)
        logged = self.live.logged()
        self.live.tidy()
        self.assertEqual(self.marked(), 5)
        self.assertEqual(self.live.logged(), logged)
        path = os.path.join(self.live.home.directory, "safe")
        before = os.stat(path).st_mtime_ns
        push(self.live, b"q", 0, b"x")
        self.live.tidy()
        self.assertEqual(os.stat(path).st_mtime_ns, before)
        self.path = snapshot(self.live, os.path.abspath(self.mktemp()))
        os.unlink(self.log(5))
        self.assertIn(f"{self.log(5)} is missing, but was synced", self.refused())

    def test_fails(self) -> None:
        """A failure is what it is elsewhere."""
        patch = self.patch(Environment, "_mark", raising(NO_SPACE))
        self.assertRaises(StoreError, self.live.tidy)
        patch.restore()
