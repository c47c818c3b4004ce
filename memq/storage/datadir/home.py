"""The home directory: made, checked and held before anything is opened in it.

Its files:

    HOME/               --home; also where a MemcacheQ kept its files
    HOME/memq/          all that memq owns, so that no name meets MemcacheQ's
    HOME/memq/lock      locked (flock) as long as a server runs; text: its pid
    HOME/memq/VERSION   text: the format that the store was written in, and LF
    HOME/memq/backup    empty: its time is that of the last backup

Formats: in 1 all messages are in the file ``messages``; in 2 a row of the store's says
in which file they are (memq/storage/bdb/compaction.py); in 3 rows of queues are longer,
and messages can expire and be delayed (memq/storage/row.py); in 4 several messages
can share a record (memq/storage/packed.py); in 5 a message can have a trace
(memq/storage/record.py).  A home of an older format goes up to the newest one when a
store is opened in it.

A second server in one home would run recovery under the first one and destroy
it, so nobody opens a store without :meth:`Home.prepare`.  The lock belongs to
the open file, not to the process: it is kept through the forks of a daemon,
and goes when the last of them ends, however it ends.

A lock in a directory that was moved away keeps nobody out.  So a store works in the
directory that was held, by :attr:`Home.way`, and asks :meth:`Home.check` whether that
is still the one that the name leads to.

The backup lock is another one, on the directory itself (flock).  A backup is another
process; it shares that lock as long as it copies.  The server asks for it alone before
it removes log files or a file of messages, and never waits: what stays now goes later.
A backup that dies lets go of it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from memq.errors import DamagedHome, HomeError, HomeGone, HomeHeld, UnusableHome
from memq.storage.datadir.damage import finishSwap
from memq.storage.datadir.directory import Place
from memq.storage.datadir.files import readFile, replaceFile, syncDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: The format of the files in HOME/memq that this memq writes; it reads older ones.
FORMAT = 5

#: Errors where rights are missing, or a file system is read-only.
RIGHTS = (errno.EACCES, errno.EPERM, errno.EROFS)


class Home:
    """One home directory.

    :ivar path: HOME, absolute.
    :ivar directory: HOME/memq, where the store keeps its files.
    :ivar isNew: whether no store was finished in it yet; known after ``prepare``.
    :ivar format: the format of what is in it; known after ``prepare``.
    :ivar damage: what ``prepare`` found damaged and let pass; None when nothing is.
    """

    def __init__(self, path: str) -> None:
        """Name the home; a relative ``path`` starts where the process is now."""
        self.path = os.path.abspath(path)
        self.directory = os.path.join(self.path, "memq")
        self.isNew = True
        self.format = FORMAT
        self.damage: DamagedHome | None = None
        self._lock: int | None = None
        self._place: Place | None = None

    @property
    def way(self) -> str:
        """The path by which a store reaches what is in HOME/memq.

        While the home is held, it leads to the directory that was found then, whatever
        name that has by now.
        """
        return self.directory if self._place is None else self._place.way

    def named(self, text: str) -> str:
        """Return a text for a person, with names of files that came by ``way``."""
        return text if self._place is None else self._place.named(text)

    def check(self) -> OSError | None:
        """See that HOME/memq and its lock are those that are held.

        :return: why that cannot be told just now; None when all is well, and when the
            home is not held.
        :raise memq.errors.HomeGone: when they are not.
        """
        return None if self._place is None else self._place.check()

    def gone(self, path: str) -> HomeGone:
        """Return the error that says that a file of the home's is gone.

        :param path: the file, by ``way``; the home is held.
        """
        assert self._place is not None
        return self._place.gone(self._place.named(path))

    def prepare(
        self,
        skipDamaged: bool = False,
        makeWay: Callable[[str], object] = lambda path: None,
    ) -> None:
        """Make what is missing, take the lock, and see whose files these are.

        Missing parents are made as the umask says, HOME for its user and group
        (0750), HOME/memq for its user alone (0700).

        :param skipDamaged: whether to note that VERSION is damaged, in ``damage``,
            instead of raising it.
        :param makeWay: is called first, with HOME; clears the way for HOME/memq.
        :raise HomeError: when this cannot be a home, or not now.
        """
        try:
            self._makeWay(makeWay)
            _makeDirectory(self.path, 0o750)
            _makeDirectory(self.directory, 0o700)
            self._place = Place(self.directory)
            self._takeLock(self._place)
            finishSwap(self.directory)
            self._see(skipDamaged)
        except OSError as error:
            self.release()
            raise homeError(error)(self._words(self._whyNot(error))) from error
        except HomeError:
            self.release()
            raise

    def writePid(self) -> None:
        """Write down which process holds the home; again after each fork."""
        if self._lock is not None:
            text = b"%d\n" % os.getpid()
            os.pwrite(self._lock, text, 0)
            os.truncate(self._lock, len(text))

    def writeVersion(self) -> None:
        """Write down, durably, that a store of the newest format is complete here.

        A memq that does not know that format leaves the home alone from now on.

        :raise OSError: when that cannot be; the home is as new as it was.
        """
        replaceFile(os.path.join(self.way, "VERSION"), b"%d\n" % FORMAT)
        self.isNew = False
        self.format = FORMAT

    def release(self) -> None:
        """Let another server have the home; no-op when it is not held."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)
        place, self._place = self._place, None
        if place is not None:
            place.close()

    def _makeWay(self, makeWay: Callable[[str], object]) -> None:
        try:
            makeWay(self.path)
        except HomeError as error:
            raise HomeError(self._words(str(error))) from error

    def _takeLock(self, place: Place) -> None:
        """Hold HOME/memq/lock.

        :raise HomeHeld: when another server does.
        """
        path = os.path.join(self.directory, "lock")
        self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found = re.match(rb"[0-9]{1,10}\n", os.read(self._lock, 20))
            pid = found[0].decode().strip() if found else "?"
            raise HomeHeld(
                f"--home {self.path}: held by another server (pid {pid})"
            ) from None
        place.keep("lock", self._lock)
        self.writePid()

    def _see(self, skipDamaged: bool) -> None:
        """Read VERSION; note that it is damaged, or refuse it."""
        try:
            self.readVersion()
        except DamagedHome as error:
            if not skipDamaged:
                raise
            self.damage = error

    def readVersion(self) -> None:
        """Set ``isNew`` and ``format``.

        :raise HomeError: when the files are of a format that is not known.
        """
        self.damage = None
        path = os.path.join(self.directory, "VERSION")
        line = readFile(path, 20)
        self.isNew = line is None
        if line is None:
            return
        text = line.decode("ascii", "replace")
        if not re.fullmatch("[1-9][0-9]{0,8}", text):
            why = (
                f"{path} says {text!r}, which is no format of memq's; "
                "bring that file back from a backup, or start with --skip-damaged"
            )
            raise DamagedHome(self._words(why))
        if int(text) > FORMAT:
            why = (
                f"written by a newer memq (format {text}, and this one reads "
                f"{FORMAT}); start it with that one, or give another --home"
            )
            raise UnusableHome(self._words(why))
        self.format = int(text)

    def noteBackup(self) -> None:
        """Note that a backup was made just now.

        :raise OSError: when that cannot be.
        """
        path = os.path.join(self.directory, "backup")
        # An older one may be somebody else's.
        with open(f"{path}.new", "wb"):
            pass
        os.rename(f"{path}.new", path)

    def lastBackup(self) -> float | None:
        """Return when that was done, in seconds since 1970; None if it never was."""
        try:
            return os.stat(os.path.join(self.way, "backup")).st_mtime
        except OSError:
            return None

    def _words(self, why: str) -> str:
        return f"--home {self.path}: {why}"

    def _whyNot(self, error: OSError) -> str:
        """Say what the system refused, on which path, and to whom."""
        where = self.path if error.filename is None else error.filename
        try:
            user = pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:
            user = str(os.geteuid())
        return f"cannot be used by user {user}: {where}: {error.strerror}"


def homeError(error: OSError) -> type[HomeError]:
    """Return the class of what is to be said: whether a restart may help."""
    return UnusableHome if error.errno in RIGHTS else HomeError


def _makeDirectory(path: str, mode: int) -> None:
    """Make a directory if there is none, its parents first, each durably."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    _makeDirectory(parent, 0o777)
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        # Either somebody was quicker, or it is no directory.
        if not os.path.isdir(path):
            raise NotADirectoryError(20, "Not a directory", path) from None
    # A user that may write in a directory need not be allowed to read it.
    with suppress(PermissionError):
        syncDirectory(parent)


@contextmanager
def held(directory: str) -> Iterator[None]:
    """Keep all files in a directory from being removed; for a backup.

    Waits for a removal that is under way, a checkpoint or two at most.

    :raise OSError: when the directory cannot be read.
    """
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


@contextmanager
def removing(directory: str) -> Iterator[bool]:
    """Tell whether files may be removed, and let no backup begin meanwhile.

    :raise OSError: when the directory cannot be read.
    """
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            allowed = True
        except BlockingIOError:
            allowed = False
        yield allowed
    finally:
        os.close(handle)
