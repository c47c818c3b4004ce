"""Small files are replaced as a whole."""

from __future__ import annotations

import errno
import os
from functools import partial
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from memq.storage.datadir.files import (
    overwriteFile,
    replaceFile,
    syncDirectory,
    syncFile,
)
from memq.test.support.homes import refusing


class ReplaceFileTests(SynchronousTestCase):
    """Files that replaceFile leaves behind."""

    def setUp(self) -> None:
        """Make an empty directory."""
        self.directory = self.mktemp()
        os.mkdir(self.directory)
        self.path = os.path.join(self.directory, "file")

    def content(self) -> bytes:
        """Return what the file holds."""
        with open(self.path, "rb") as file:
            return file.read()

    def test_replaces(self) -> None:
        """The new content takes the place of the old, and nothing else is left."""
        replaceFile(self.path, b"the old content")
        replaceFile(self.path, b"new")
        self.assertEqual(self.content(), b"new")
        self.assertEqual(os.listdir(self.directory), ["file"])

    def test_syncsBeforeItRenames(self) -> None:
        """The content is synced before it gets its name, the name after."""
        calls: list[str] = []
        for name in ("fsync", "replace"):
            call = partial(self.recorded, calls, name, getattr(os, name))
            self.patch(os, name, call)
        replaceFile(self.path, b"x")
        self.assertEqual(calls, ["fsync", "replace", "fsync"])

    def test_syncsAllOfIt(self) -> None:
        """When the file is synced, all of the content has been handed over."""
        sizes: list[int] = []
        self.patch(os, "fsync", lambda file: sizes.append(os.fstat(file).st_size))
        replaceFile(self.path, b"content")
        self.assertEqual(sizes[0], len(b"content"))

    def recorded(self, calls: list[str], name: str, call: Any, *words: object) -> None:
        """Note a call, and make it."""
        calls.append(name)
        call(*words)

    def test_keepsTheOldOne(self) -> None:
        """When the new content cannot be synced, the old stays."""
        replaceFile(self.path, b"old")
        self.patch(os, "fsync", refusing(errno.EIO))
        self.assertRaises(OSError, replaceFile, self.path, b"new")
        self.assertEqual(self.content(), b"old")

    def test_overwrites(self) -> None:
        """A file of that size is written over in its blocks; others are left alone."""
        self.assertFalse(overwriteFile(self.path, b"new\n"))
        for old, now in ((b"old\n", b"new\n"), (b"longer\n", b"longer\n")):
            with open(self.path, "wb") as file:
                file.write(old)
            before = os.stat(self.path).st_ino
            self.assertIs(overwriteFile(self.path, b"new\n"), now != old)
            self.assertEqual(self.content(), now)
            self.assertEqual(os.stat(self.path).st_ino, before)

    def test_noDirectory(self) -> None:
        """A directory that is not there cannot be synced."""
        self.assertRaises(OSError, syncDirectory, self.path)

    def test_syncFile(self) -> None:
        """A file that others wrote can be synced, and one that is gone need not be."""
        synced: list[int] = []
        self.patch(os, "fdatasync", lambda file: synced.append(os.fstat(file).st_size))
        replaceFile(self.path, b"content")
        syncFile(self.path)
        syncFile(self.path + ".gone")
        self.assertEqual(synced, [7])
