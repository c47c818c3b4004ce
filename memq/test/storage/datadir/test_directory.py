"""A directory is followed wherever it goes, and found to be another one."""

from __future__ import annotations

import errno
import os

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import HomeGone
from memq.storage.datadir import directory as place
from memq.storage.datadir.directory import KnownFiles, Place
from memq.test.support.homes import refusing


class PlaceTestCase(SynchronousTestCase):
    """A directory with a file."""

    def setUp(self) -> None:
        """Make and open it."""
        self.path = os.path.abspath(self.mktemp())
        self.made(self.path)
        self.place = self.opened()

    def made(self, path: str) -> None:
        """Make a directory with a file."""
        os.mkdir(path)
        with open(os.path.join(path, "lock"), "wb"):
            pass

    def opened(self, *descriptors: str) -> Place:
        """Return the place, with a file that has to stay."""
        place = Place(self.path, *descriptors)
        self.addCleanup(place.close)
        lock = os.open(os.path.join(self.path, "lock"), os.O_RDWR)
        self.addCleanup(os.close, lock)
        place.keep("lock", lock)
        return place

    def refuse(self, code: int) -> None:
        """Let the system say nothing but this of any path."""
        self.patch(os, "stat", refusing(code))


class PlaceTests(PlaceTestCase):
    """Operations on the directory."""

    def gone(self) -> str:
        """Return what is said of a place that is gone."""
        return str(self.assertRaises(HomeGone, self.place.check))

    def test_stays(self) -> None:
        """A directory that nothing is done to is in its place, by any name of it."""
        self.assertIsNone(self.place.check())
        os.rename(self.path, self.path + ".2")
        os.symlink(self.path + ".2", self.path)
        self.assertIsNone(self.place.check())

    def test_moved(self) -> None:
        """The way leads to it when it is moved, and the error says where it is."""
        os.rename(self.path, self.path + ".2")
        with open(os.path.join(self.place.way, "new"), "wb"):
            pass
        self.assertEqual(sorted(os.listdir(self.path + ".2")), ["lock", "new"])
        self.assertTrue(self.gone().endswith(f"stored is in {self.path}.2"))

    def test_exchanged(self) -> None:
        """A directory that takes its place is another one, and is left alone."""
        os.rename(self.path, self.path + ".2")
        self.made(self.path)
        with open(os.path.join(self.place.way, "new"), "wb"):
            pass
        self.assertEqual(os.listdir(self.path), ["lock"])
        self.assertTrue(self.gone().startswith(f"{self.path} was moved"))

    def test_removed(self) -> None:
        """Of one that was removed, everything is lost, and no file can be made."""
        os.unlink(os.path.join(self.path, "lock"))
        os.rmdir(self.path)
        self.assertIn("lost with the directory that was removed", self.gone())
        new = os.path.join(self.place.way, "new")
        self.assertRaises(FileNotFoundError, open, new, "wb")

    def test_file(self) -> None:
        """A file that has to stay may be neither removed nor replaced."""
        lock = os.path.join(self.path, "lock")
        os.unlink(lock)
        self.assertTrue(self.gone().startswith(f"{lock} was moved"))
        with open(lock, "wb"):
            pass
        self.assertTrue(self.gone().startswith(f"{lock} was moved"))

    def test_nowhere(self) -> None:
        """A name that leads to no directory, or round in a circle, leads nowhere."""
        os.rename(self.path, self.path + ".2")
        os.symlink(self.path, self.path)
        self.assertTrue(self.gone().startswith(f"{self.path} was moved"))
        os.unlink(self.path)
        parent = os.path.dirname(self.path)
        self.place.path = os.path.join(parent, os.path.basename(__file__), "x")
        self.assertIn("was moved", self.gone())

    def test_doubt(self) -> None:
        """An error of the system is no reason to take the directory for gone."""
        for code in (errno.EIO, errno.ESTALE, errno.EACCES):
            self.refuse(code)
            doubt = self.place.check()
            assert doubt is not None
            self.assertEqual(doubt.errno, code)

    def test_withoutProc(self) -> None:
        """Without /proc the way is the name, and it is looked after all the same."""
        for descriptors in ("/none", os.path.dirname(self.path)):
            self.place = self.opened(descriptors)
            self.assertEqual(self.place.way, self.path)
            self.assertEqual(self.place.named(f"{self.path}/x"), f"{self.path}/x")
        os.rename(self.path, self.path + ".2")
        self.assertTrue(self.gone().endswith("in the directory that was there before"))

    def test_named(self) -> None:
        """People are told names, and no descriptors."""
        told = self.place.named(f"{self.place.way}/log: no room")
        self.assertEqual(told, f"{self.path}/log: no room")


class KnownFilesTests(PlaceTestCase):
    """Files that are open without a descriptor that is known."""

    def setUp(self) -> None:
        """Know of a table, and of a log that is not made yet."""
        super().setUp()
        self.files = KnownFiles()
        self.table = os.path.join(self.path, "lock")
        self.files.add(self.table)
        self.log: str | None = None
        self.first = os.path.join(self.path, "log.1")

    def found(self) -> str | None:
        """Return what is found gone."""
        return self.files.findGone(lambda: self.log)

    def write(self, path: str) -> None:
        """Make a file, or put another one in its place."""
        with open(path + ".new", "wb"):
            os.replace(path + ".new", path)

    def test_there(self) -> None:
        """A log that is not made yet, and is made then, is no matter."""
        self.assertIsNone(self.found())
        self.write(self.first)
        self.log = self.first
        self.assertIsNone(self.found())
        self.assertIsNone(self.found())

    def test_neverSeen(self) -> None:
        """A log that was synced and is gone before anybody looked for it is found."""
        self.log = self.first
        self.assertEqual(self.found(), self.first)
        self.assertEqual(self.found(), self.first)

    def test_replaced(self) -> None:
        """A file that another one took the place of is found."""
        self.write(self.table)
        self.assertEqual(self.found(), self.table)
        self.files.forget(self.table)
        self.assertIsNone(self.found())

    def test_log(self) -> None:
        """So is a log that was removed, whether another one is in use or not."""
        self.write(self.first)
        self.log = self.first
        self.assertIsNone(self.found())
        os.unlink(self.first)
        self.assertEqual(self.found(), self.first)
        self.log = os.path.join(self.path, "log.2")
        self.write(self.log)
        self.assertEqual(self.found(), self.first)

    def test_done(self) -> None:
        """A log that is done with may go, once another one was found in use."""
        self.write(self.first)
        self.log = self.first
        self.assertIsNone(self.found())
        self.log = os.path.join(self.path, "log.2")
        self.write(self.log)
        self.assertIsNone(self.found())
        os.unlink(self.first)
        self.assertIsNone(self.found())

    def test_closed(self) -> None:
        """A file that is forgotten while it is looked for is not missed."""

        def log() -> None:
            os.unlink(self.table)

        def isOther(path: str, identity: tuple[int, int]) -> bool:
            self.files.forget(path)
            return True

        self.patch(place, "_isOther", isOther)
        self.assertIsNone(self.files.findGone(log))

    def test_doubt(self) -> None:
        """An error of the system is no reason to take a file for gone."""
        self.log = self.first
        self.refuse(errno.EIO)
        self.assertIsNone(self.found())
