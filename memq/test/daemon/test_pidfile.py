"""A pid file says who runs, and stands in nobody's way."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from memq.daemon.pidfile import PidFile


def read(path: str) -> str:
    """Return what is in a file."""
    with open(path, encoding="ascii") as file:
        return file.read()


class PidFileTests(SynchronousTestCase):
    """A file in a directory of its own."""

    def setUp(self) -> None:
        """Name the file."""
        self.directory = os.path.abspath(self.mktemp())
        os.mkdir(self.directory)
        self.path = os.path.join(self.directory, "pid")
        self.mine = f"{os.getpid()}\n"

    def written(self, path: str | None = None) -> PidFile:
        """Return a pid file that is written; it is removed when the test is over."""
        file = PidFile(self.path if path is None else path)
        file.write()
        self.addCleanup(file.remove)
        return file

    def test_written(self) -> None:
        """It has this process's id, for all to read, until it is removed."""
        file = self.written()
        self.assertEqual(read(self.path), self.mine)
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o644)
        file.remove()
        file.remove()
        self.assertEqual(os.listdir(self.directory), [])

    def test_none(self) -> None:
        """Without a path there is no file."""
        self.written("").remove()

    def test_stale(self) -> None:
        """Whatever an older one says, another one takes its place."""
        for text in ("", "1", f"{os.getppid()}\n", "rubbish\0\n", "9" * 100_000):
            with open(self.path, "w", encoding="ascii") as file:
                file.write(text)
            self.written()
            self.assertEqual(read(self.path), self.mine)

    def test_link(self) -> None:
        """A symbolic link is replaced, and what it leads to is left alone."""
        other = os.path.join(self.directory, "other")
        for there in (False, True):
            if there:
                with open(other, "w", encoding="ascii") as file:
                    file.write("precious")
            os.symlink(other, self.path)
            self.written().remove()
            self.assertEqual(os.path.exists(other), there)
        self.assertEqual(read(other), "precious")

    def test_noFile(self) -> None:
        """A path that is no file is left alone: a directory, a pipe, a device."""
        os.mkdir(self.path)
        pipe = os.path.join(self.directory, "pipe")
        os.mkfifo(pipe)
        for path in (self.path, pipe, "/dev/null"):
            error = self.assertRaises(OSError, PidFile(path).write)
            self.assertEqual(error.strerror, "there is something that is no file")
        self.assertEqual(sorted(os.listdir(self.directory)), ["pid", "pipe"])

    def test_cannotWrite(self) -> None:
        """Where it cannot be written, that is an error, and nothing is left behind."""
        nowhere = PidFile(os.path.join(self.directory, "none", "pid"))
        self.assertRaises(FileNotFoundError, nowhere.write)
        nowhere.remove()

        def full(descriptor: int, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        file = PidFile(self.path)
        self.patch(os, "write", full)
        self.assertRaises(OSError, file.write)
        file.remove()
        self.assertEqual(os.listdir(self.directory), [])

    def test_others(self) -> None:
        """The file of a server that came later stays, with the same id as well."""
        first, second = self.written(), self.written()
        first.remove()
        self.assertEqual(read(self.path), self.mine)
        second.remove()
        self.assertEqual(os.listdir(self.directory), [])

    def test_writtenOver(self) -> None:
        """So does one that another program wrote into this one; or it may be gone."""
        gone = self.written()
        os.unlink(self.path)
        gone.remove()
        file = self.written()
        with open(self.path, "w", encoding="ascii") as other:
            other.write("7")
        file.remove()
        self.assertEqual(read(self.path), "7")

    def test_cannotRemove(self) -> None:
        """Where the user that the server became may not remove it, it is emptied."""
        file = self.written()

        def refuse(path: str) -> None:
            raise PermissionError(13, "Permission denied")

        self.patch(os, "unlink", refuse)
        file.remove()
        self.assertEqual(read(self.path), "")
