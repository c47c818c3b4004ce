"""Small disks for tests: file systems that are really full when they are full.

They are mounted, tmpfs or ext4 in a file, and unmounted at the end of the test.  Where
that is forbidden, a limit on the size of files stands in: nothing else that a common
user may set lets writes fail.
"""

from __future__ import annotations

import os
import subprocess
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.trial.unittest import SynchronousTestCase

MEGABYTE = 1024 * 1024
#: What a start says that cannot recover.
NO_ROOM = "MB of room, and start again"
#: Bytes of the largest file where no disk can be mounted.
LIMIT = 48 * MEGABYTE


class SmallDisk:
    """A disk, or what stands in for one.

    :ivar path: where it is.
    :ivar before: Python that a server runs first.
    :ivar isMounted: whether it is a file system of its own.
    """

    def __init__(self, path: str, before: str = "") -> None:
        self.path = path
        self.before = before
        self.isMounted = not before

    def free(self) -> int:
        """Return the bytes that are free on it."""
        room = os.statvfs(self.path)
        return room.f_bavail * room.f_frsize


def mountDisk(
    test: SynchronousTestCase, kind: str, megabytes: int, mount: str = "mount"
) -> SmallDisk:
    """Return an empty disk.

    :param kind: tmpfs or ext4.
    :param mount: the command for it.
    """
    path = os.path.abspath(test.mktemp())
    os.mkdir(path)
    if kind == "tmpfs":
        command = [mount, "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", path]
    else:
        image = path + ".ext4"
        with open(image, "wb") as file:
            file.truncate(megabytes * MEGABYTE)
        subprocess.run(["/sbin/mkfs.ext4", "-q", "-m", "0", image], check=True)
        command = [mount, "-o", "loop", image, path]
    if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode:
        return limitedDisk(test)
    test.addCleanup(subprocess.run, ["umount", "-l", path], check=True)
    return SmallDisk(path)


def limitedDisk(test: SynchronousTestCase) -> SmallDisk:
    """Return a directory for a server that may write no large files."""
    path = os.path.abspath(test.mktemp())
    os.mkdir(path)
    limit = f"import resource as r; r.setrlimit(r.RLIMIT_FSIZE, ({LIMIT}, {LIMIT}))"
    return SmallDisk(path, limit)


class Eater:
    """Another program, which takes what is free on a disk, to the last byte."""

    def __init__(self, disk: SmallDisk, forEver: bool) -> None:
        """Begin.

        :param forEver: whether it goes on to take what becomes free later.
        """
        self._path = os.path.join(disk.path, "eater")
        self._forEver = forEver
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._eat)
        self._thread.start()

    def _eat(self) -> None:
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT)
        size = 65536
        try:
            while not self._ended.is_set():
                try:
                    os.write(file, bytes(size))
                except OSError:
                    if size == 1:
                        if not self._forEver:
                            break
                        self._ended.wait(0.003)
                        size = 65536
                    size = max(1, size // 4)
        finally:
            os.close(file)

    def stop(self) -> None:
        """End, and give everything back."""
        self._ended.set()
        self._thread.join()
        os.unlink(self._path)


def startOnFull(
    start: Callable[[], object], makeRoom: Callable[[], None] | None
) -> None:
    """Start a server that was killed on a full disk.

    Where another program takes whatever room there is, it may take that of the ballast
    before a recovery has it.  The start says so then, and what to do.

    :param start: starts it; raises AssertionError with what a start says that ends.
    :param makeRoom: lets the other program give back what it took; None if there is
        none, so that the start may not fail.
    """
    try:
        start()
    except AssertionError as error:
        if makeRoom is None or NO_ROOM not in str(error):
            raise
        makeRoom()
        start()
