"""A disk on which a power cut leaves what it may leave.

It is told the system calls of a server, and knows at each moment what is on the disk
for certain and what may be there or not.  The rules:

- A write before a sync of the file began is there once that has ended.
- A write since then is there or not, each page of 4096 bytes by itself, and
  each as it was at any time since: a file system writes pages whenever it likes, but
  a page as a whole.  So the file may have any of the sizes that it had.
- In a log file, the last page that was written may be torn after any byte.
- Names come and go in their order.  All that were changed before a sync of the
  directory began are there once that has ended; how many of the later ones, nobody
  knows.

POSIX promises no more of names.  The file systems of Linux do: who syncs a file that
is new has its name on the disk as well.  That is the disk that is not ``strict``.
"""

from __future__ import annotations

import os
import re
from math import inf
from typing import TYPE_CHECKING

from memq.test.support.disks.diskfile import DiskFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from memq.test.support.disks.diskfile import Change
    from testkit.systemcalls import Call


#: The way to a directory that the process has open.
_DESCRIPTOR = re.compile("/proc/self/fd/([0-9]+)")


class _Rename:
    """A change of names: each gets a file, or goes."""

    __slots__ = ("files", "over")

    def __init__(self, files: dict[str, DiskFile | None]) -> None:
        self.files = files
        self.over = False

    def apply(self, names: dict[str, DiskFile]) -> None:
        for name, file in self.files.items():
            if file is None:
                names.pop(name, None)
            else:
                names[name] = file


class Disk:
    """One directory and its files.

    :ivar names: what a process finds in the directory.
    :ivar synced: the moment at which the last sync of a log file began that has ended.
    """

    def __init__(self, path: str, strict: bool, files: dict[str, bytes]) -> None:
        """Begin with what is there for certain.

        :param path: of the directory, as the calls name it.
        :param strict: whether names need a sync of the directory.
        """
        self._path = os.path.realpath(path)
        self._strict = strict
        self.names = {name: DiskFile(content) for name, content in files.items()}
        self._certain = dict(self.names)
        self._pending: list[_Rename] = []
        self.synced = -inf
        self._open: dict[int, DiskFile | None] = {}
        self._offsets: dict[int, int] = {}
        #: Files that calls under way open, None for the directory.
        self._opening: dict[Call, DiskFile | None] = {}
        #: Changes that calls under way have begun.
        self._changes: dict[Call, Change | _Rename] = {}
        self._syncs: dict[Call, Callable[[], None]] = {}
        self._calls = {
            **dict.fromkeys(("open", "openat", "creat"), self._cbOpen),
            "close": self._cbClose,
            "lseek": self._cbSeek,
            **dict.fromkeys(("write", "writev", "pwrite64", "pwritev"), self._cbWrite),
            "ftruncate": self._cbTruncate,
            "truncate": self._cbTruncatePath,
            "fallocate": self._cbAllocate,
            **dict.fromkeys(("rename", "renameat", "renameat2"), self._cbRename),
            **dict.fromkeys(("link", "linkat"), self._cbLink),
            **dict.fromkeys(("unlink", "unlinkat"), self._cbUnlink),
            **dict.fromkeys(("fsync", "fdatasync"), self._cbSync),
        }

    def take(self, moment: float, call: Call) -> None:
        """Go on to a moment at which a call begins or ends."""
        if moment == call.began:
            took = self._calls.get(call.name)
            if took is not None and call.result >= 0:
                took(call)
            return
        # A descriptor is free again before the call has ended that closes it.
        if call in self._opening:
            self._open[call.result] = self._opening.pop(call)
            self._offsets[call.result] = 0
        if call in self._syncs:
            self._syncs.pop(call)()
        if call in self._changes:
            self._changes.pop(call).over = True

    def _leadsHere(self, path: str) -> bool:
        """Return whether a path leads to the directory, by name or by descriptor."""
        found = _DESCRIPTOR.fullmatch(path)
        if found:
            return self._open.get(int(found[1]), self) is None
        return os.path.realpath(path) == self._path

    def _name(self, path: bytes) -> str | None:
        """Return the name in the directory that a path leads to."""
        folder, name = os.path.split(os.fsdecode(path))
        return name if self._leadsHere(folder) else None

    def _rename(self, call: Call, files: dict[str, DiskFile | None]) -> None:
        change = _Rename(files)
        change.apply(self.names)
        self._pending.append(change)
        self._changes[call] = change

    def _cbOpen(self, call: Call) -> None:
        (path,) = call.strings
        if self._leadsHere(os.fsdecode(path)):
            self._opening[call] = None
            return
        name = self._name(path)
        if name is None:
            return
        file = self.names.get(name)
        if file is None:
            file = DiskFile()
            self._rename(call, {name: file})
        elif "O_TRUNC" in call.text:
            self._changes[call] = file.change(0, None)
        self._opening[call] = file

    def _cbClose(self, call: Call) -> None:
        self._open.pop(call.file, None)

    def _cbSeek(self, call: Call) -> None:
        if call.file in self._open:
            self._offsets[call.file] = call.result

    def _cbWrite(self, call: Call) -> None:
        file = self._open.get(call.file)
        if file is None:
            return
        if call.name.startswith("p"):
            offset = call.numbers[-1]
        else:
            offset = self._offsets[call.file]
            self._offsets[call.file] += call.result
        self._changes[call] = file.change(offset, call.data)

    def _cbTruncate(self, call: Call) -> None:
        file = self._open.get(call.file)
        if file is not None:
            self._changes[call] = file.change(call.numbers[-1], None)

    def _cbTruncatePath(self, call: Call) -> None:
        (path,) = call.strings
        name = self._name(path)
        if name is not None:
            self._changes[call] = self.names[name].change(call.numbers[-1], None)

    def _cbAllocate(self, call: Call) -> None:
        file = self._open.get(call.file)
        end = sum(call.numbers[-2:])
        if file is None or "KEEP_SIZE" in call.text or end <= len(file.now):
            return
        self._changes[call] = file.change(end, None)

    def _cbRename(self, call: Call) -> None:
        old, new = map(self._name, call.strings)
        if old is not None and new is not None:
            self._rename(call, {new: self.names[old], old: None})

    def _cbLink(self, call: Call) -> None:
        old, new = map(self._name, call.strings)
        if old is not None and new is not None:
            self._rename(call, {new: self.names[old]})

    def _cbUnlink(self, call: Call) -> None:
        (path,) = call.strings
        name = self._name(path)
        if name is not None:
            self._rename(call, {name: None})

    def _cbSync(self, call: Call) -> None:
        if call.file not in self._open:
            return
        file = self._open[call.file]
        if file is None:
            names = [change for change in self._pending if change.over]
            self._syncs[call] = lambda: self._settleNames(names)
        else:
            changes = file.pending()
            self._syncs[call] = lambda: self._settleFile(file, changes, call.began)

    def _settleNames(self, changes: list[_Rename]) -> None:
        for change in changes:
            if change in self._pending:
                change.apply(self._certain)
                self._pending.remove(change)

    def _settleFile(self, file: DiskFile, changes: list[Change], began: float) -> None:
        file.settle(changes)
        if any(file is self.names[name] for name in self.names if _isLog(name)):
            self.synced = began
        if not self._strict:
            for number, change in enumerate(self._pending):
                if file in change.files.values():
                    self._settleNames(self._pending[: number + 1])
                    break

    def afterCut(self, random: Random) -> dict[str, bytes]:
        """Return the files that a power cut at this moment may leave."""
        names = dict(self._certain)
        most = len(self._pending)
        count = random.choice((0, most, random.randint(0, most)))
        for change in self._pending[:count]:
            change.apply(names)
        return {
            name: file.afterCut(random, _isLog(name))
            for name, file in sorted(names.items())
        }


def _isLog(name: str) -> bool:
    return name.startswith("log.")
