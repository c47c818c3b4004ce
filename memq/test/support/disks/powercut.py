"""Power cuts in a run of a server that is over, and what it told too early."""

from __future__ import annotations

import os
import re
import shutil
from bisect import bisect_right
from random import Random
from typing import TYPE_CHECKING, Any

from memq.errors import QueueError, StartError
from memq.storage.engine.binding import StoreSettings
from memq.test.support.disks.disk import Disk
from memq.test.support.disks.logfile import Log, TracedLog
from memq.test.support.disks.powerload import mismatch
from memq.test.support.disks.tracedrun import KILOBYTE, LOG_FILE
from memq.test.support.homes import push, queues, storeAt
from testkit.systemcalls import moments

if TYPE_CHECKING:
    from memq.test.support.disks.powerload import State
    from memq.test.support.disks.tracedrun import Run

SETTINGS = StoreSettings(
    cacheSize=1024 * KILOBYTE, logBuffer=32 * KILOBYTE, logFile=LOG_FILE
)
#: A share of them is at the beginning and at the end, in so many moments.
EDGE = 160
#: So many moments behind a change of a log file's name are looked at as well: until the
#: log in it is marked, and its name synced.
NEAR = 80
#: Bytes that are looked for in the log: messages, queues that are deleted, tombstones.
TOKENS = re.compile(rb"[\x01\x02]\xe7\x5c..|gone\d*-\d\d|\0deleted....", re.DOTALL)
#: The same where messages are packed: their flags stand one behind the other, behind a
#: checksum that may seem to begin one.
PACKED_TOKENS = re.compile(rb"(?=(\xe7\x5c..|gone\d*-\d\d|\0deleted....))", re.DOTALL)


def early(run: Run, isPacked: bool = False) -> list[bytes]:
    """Return the commands that were answered before what covers them was synced.

    :param isPacked: whether small messages are packed; a get of one of them logs no
        more than a row, which does not tell which it was, so gets are left out.
    """
    traced = TracedLog(run.calls, run.files)
    log = Log(traced.files, PACKED_TOKENS if isPacked else TOKENS)
    found = []
    for client in run.clients:
        told = client.told(run.calls)
        for moment, command, took in zip(
            told, client.commands, client.taken, strict=True
        ):
            if command.verb == b"set":
                end = log.firstCommit(*_tokens(command.flags, isPacked))
            elif took is not None and isPacked:
                continue
            elif took is not None:
                end = log.lastCommit(*_tokens(took))
            elif command.verb == b"delete":
                end = log.lastCommit(command.queue)
            elif command.verb == b"flush_all":
                end = log.firstCommit(log.newest(b"\0deleted"))
            else:
                continue
            if traced.safeAt(end) > moment:
                found.append(command.verb)
    return found


def _tokens(flags: int, isPacked: bool = False) -> list[bytes]:
    """Return what the record of a message may begin with, or may hold."""
    told = flags.to_bytes(4, "big")
    return [told] if isPacked else [b"\1" + told, b"\2" + told]


def writeFiles(path: str, files: dict[str, bytes]) -> str:
    """Make a home of files, in the place of what was there; return its path."""
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(os.path.join(path, "memq"))
    for name, content in files.items():
        with open(os.path.join(path, "memq", name), "wb") as file:
            file.write(content)
    return path


def readQueues(path: str, later: bytes) -> dict[bytes, State]:
    """Return what a start finds in a home, and leave it there; then lose power again.

    :param later: a queue that gets a message after that.
    """
    store: Any = storeAt(path, SETTINGS)
    try:
        store.open()
        found = queues(store)
        push(store, later, 0, b"")
        store.flush()
    finally:
        store.environment.letGo()
        store.home.release()
    for name, (pushed, taken, messages) in found.items():
        assert pushed - taken == len(messages), f"{name!r} is not as long as it says"
    return {
        name: (pushed, taken, tuple(messages))
        for name, (pushed, taken, messages) in found.items()
    }


class PowerCuts:
    """Power cuts at any moment of a run that is over."""

    def __init__(self, run: Run, path: str, seed: int, *, noSync: bool) -> None:
        """Read what the clients were told.

        :param path: of the homes that are made.
        """
        self._run = run
        self._path = path
        self._seed = seed
        self._noSync = noSync
        self._told = [client.told(run.calls) for client in run.clients]
        self._moments = list(moments(run.calls))
        self._first = next(
            number
            for number, (_, call) in enumerate(self._moments)
            if os.path.dirname(call.path) == run.folder
        )
        self._disk = Disk(run.folder, strict=True, files=run.files)
        self._at = 0

    def choose(self, random: Random, count: int) -> list[int]:
        """Return where to cut, in order."""
        first, last = self._first, len(self._moments) - 1
        ranges = [
            (first, last),
            (first, last),
            (first, first + EDGE),
            (last - EDGE, last),
        ]
        names = self.atNames()
        cuts = [random.randint(*random.choice(ranges)) for _ in range(count)]
        return sorted(cuts + random.sample(names, min(len(names), count // 4)))

    def atNames(self) -> list[int]:
        """Return the moments just behind each change of a log file's name, in order."""
        found: set[int] = set()
        for number, (_, call) in enumerate(self._moments[self._first :], self._first):
            isNew = "O_CREAT" in call.text or call.name.startswith(("link", "rename"))
            if isNew and any(b"/log." in path for path in call.strings):
                found.update(range(number, min(number + NEAR, len(self._moments))))
        return sorted(found)

    def after(self, number: int) -> dict[str, bytes]:
        """Return what may be left after so many moments; they only go on."""
        for moment, call in self._moments[self._at : number]:
            self._disk.take(moment, call)
        self._at = number
        return self._disk.afterCut(Random(f"{self._seed} {number}"))

    def try_(self, number: int) -> str:
        """Cut there and start; return what is not as it should be."""
        files = self.after(number)
        try:
            found = readQueues(writeFiles(self._path, files), b"later")
            wrong = self._wrong(number, found)
            if number % 4 == 0 and not wrong:
                again = readQueues(self._path, b"later still")
                assert again == {**found, b"later": (1, 0, ((0, b""),))}
        except (AssertionError, QueueError, StartError) as error:
            wrong = f"{type(error).__name__}: {error}"
        if wrong:
            kept = writeFiles(f"{self._path}-{number}", files)
            call = self._moments[number - 1][1]
            wrong = f"cut {number} of {self._seed}, {call.name}, see {kept}: {wrong}"
        return wrong

    def _wrong(self, number: int, found: dict[bytes, State]) -> str:
        moment = self._disk.synced if self._noSync else self._moments[number - 1][0]
        wrong = (
            mismatch(client, bisect_right(told, moment), found)
            for client, told in zip(self._run.clients, self._told, strict=True)
        )
        return "; ".join(filter(None, wrong))
