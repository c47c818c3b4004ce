"""Adoption: the queues of a directory that MemcacheQ wrote become memq's.

The two cannot be in one transaction of Berkeley DB, for each has a log of its own.  So
nothing is taken out of MemcacheQ's files.  How far each queue was read stands in the
store, in the same transaction as the messages that were read
(:mod:`memq.memcacheq.staging`), and that is the taking.  Up to the last transaction,
MemcacheQ could go on with its directory; with it, all queues are memq's at once.  Only
then its files are removed.

In order:

1. All that MemcacheQ has in the log only is recovered, in a copy
   (:mod:`memq.memcacheq.copy`).
2. Messages are staged, a batch each transaction, with a sync a second: nobody was told
   anything, and what a crash takes away is staged again.
3. If the old files are as they were, the queues get their rows and counts.  That is
   synced.
4. Messages of queues that memq had already move behind those.
5. The old files are removed, or kept in HOME/memq if some were damaged.

Killed or interrupted before 3, the next start goes on with the next batch, unless a
MemcacheQ has worked on the directory meanwhile: then it begins again.  After 3, the
next start goes on with 4 and 5, and never looks into the old files again.

All of it happens in one thread, before anything else is done with the store.
"""

from __future__ import annotations

import os
import re
import threading
from time import monotonic
from typing import TYPE_CHECKING

from memq.display import megabytes, shownName
from memq.errors import HomeError, HomeGone, StoreError, UnusableHome
from memq.memcacheq.copy import Copy, Found
from memq.memcacheq.directory import OldDirectory, findOld
from memq.memcacheq.estimate import VOLUME, VOLUMES, estimate, roomNeeded
from memq.memcacheq.queuefile import Damage, OldMessage
from memq.memcacheq.staging import AdoptionState, Staged, Staging
from memq.ratelimit import Progress
from memq.storage.datadir.sizing import MEGABYTE
from memq.storage.row import DamagedRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.ratelimit import Draw
    from memq.storage.bdb.store import BDBStore
    from memq.storage.datadir.home import Home

#: The most messages and bytes of a transaction.
BATCH = 1000
BATCH_BYTES = 256 * 1024
#: How many damaged files, or records of a queue, are told one by one.
_TOLD = 10

#: Where the copy is, and what is left of damaged queues, in HOME/memq.
COPY = "memcacheq"
ASIDE = "memcacheq-damaged"

#: Bytes that are in no name that a client can give.
_UNSPEAKABLE = re.compile(rb"[\x00-\x20\x7f/]")


class Interrupted(Exception):
    """Somebody asked to stop."""


def _refusal(*why: str) -> HomeError:
    told = "; ".join(why[:_TOLD])
    if len(why) > _TOLD:
        told += f"; and {len(why) - _TOLD} more"
    return HomeError(
        f"{told}; put that right, or start with --skip-damaged to take over what can "
        "be read"
    )


class Adoption:
    """Takes over MemcacheQ's files at a start."""

    def __init__(
        self,
        home: Home,
        store: BDBStore,
        say: Callable[[str], None],
        *,
        skipDamaged: bool = False,
        keepLogs: bool = False,
        volume: int = VOLUME,
        seconds: Callable[[], float] = monotonic,
        draw: Draw | None = None,
    ) -> None:
        """Take the parts; :meth:`run` does the work.

        :param store: open, when it comes to that.
        :param draw: draws a bar; None where there is no terminal.
        :param keepLogs: whether the store's log files are all kept.
        :param volume: bytes of log after which there is a checkpoint at the latest.
        """
        self._home = home
        self._store = store
        self._staging = Staging(store)
        self._say = say
        self._skipDamaged = skipDamaged
        self._keepLogs = keepLogs
        self._volume = min(volume, VOLUME)
        self._seconds = seconds
        self._draw = draw
        self._stop = threading.Event()
        self._copyPath = os.path.join(home.way, COPY)
        #: Record numbers that were read, and how many there are; how many an earlier
        #: run has read.
        self._done = self._total = self._before = 0

    def interrupt(self) -> None:
        """Make ``run`` return soon, from any thread; the next one goes on."""
        self._stop.set()

    def run(self) -> bool:
        """Take over what there is to take over.

        :return: False when it was interrupted.
        :raise memq.errors.HomeError: when it cannot be; one line says why.
        """
        self._progress = Progress(self._say, self._seconds, draw=self._draw)
        try:
            self._run()
        except Interrupted:
            self._say("Taking over is interrupted; the next start goes on with it")
            return False
        except HomeError as error:
            raise type(error)(self._home.named(str(error))) from error
        except HomeGone as error:
            raise UnusableHome(str(error)) from error
        except (StoreError, DamagedRow) as error:
            raise HomeError(f"{self._home.directory}: {error}") from error
        except OSError as error:
            where = self._home.path
            if error.filename is not None:
                where = self._home.named(os.fsdecode(error.filename))
            raise HomeError(f"{where}: {error.strerror}") from error
        return True

    def _run(self) -> None:
        state = self._staging.adoption()
        if state is not None and state.isTaken:
            self._finish(state)
            state = None
        old = findOld(self._home.path)
        if old is not None:
            copy = Copy(old, self._copyPath)
            try:
                state = self._take(old, copy, state)
            except BaseException:
                copy.remove()
                raise
            self._finish(state)
        elif state is not None:
            self._finish(self._takeRemains())

    def _takeRemains(self) -> AdoptionState:
        """Take what was staged of files that are gone, if that is wanted."""
        if not self._skipDamaged:
            raise HomeError(
                f"{self._home.path}: MemcacheQ's files are gone, and only a part was "
                "taken over; bring them back, or start with --skip-damaged to keep "
                "that part"
            )
        return self._staging.finishAdoption({}, [], isKept=False)

    def _take(
        self, old: OldDirectory, copy: Copy, state: AdoptionState | None
    ) -> AdoptionState:
        fingerprint = old.fingerprint()
        self._recover(copy)
        queues, isDamaged = self._open(copy)
        self._begin(state, fingerprint)
        staged = self._staging.staged()
        self._announce(queues, staged)
        counts = {}
        for found in queues:
            name = found.file.name
            row = self._takeQueue(found, staged.get(name))
            counts[name] = found.counts(row.messages)
            if row.damaged:
                isDamaged = True
                self._say(
                    f"{row.damaged} records of queue {shownName(name)} are damaged"
                )
        self._refuseChanged(fingerprint)
        files = old.look(old.logs + old.regions + old.data)
        taken = self._staging.finishAdoption(counts, files, isDamaged)
        messages = sum(pushed - taken for pushed, taken in counts.values())
        self._say(f"{len(counts)} queues with {messages} messages are taken over")
        return taken

    def _recover(self, copy: Copy) -> None:
        copy.begin()
        if copy.isWhole:
            self._say(
                "MemcacheQ was killed, or its log is an older one: a copy of its files "
                f"is recovered first; that needs about {megabytes(copy.bytes)}"
            )
            self._needRoom(copy.bytes)
        copied = 0

        def tick(size: int) -> None:
            nonlocal copied
            copied += size
            self._tick(
                f"{megabytes(copied)} of {megabytes(copy.bytes)} are copied",
                copied / max(copy.bytes, 1),
            )

        copy.finish(tick)

    def _begin(self, state: AdoptionState | None, fingerprint: bytes) -> None:
        if state is None:
            self._staging.beginAdoption(fingerprint)
        elif state.fingerprint != fingerprint:
            self._say("MemcacheQ's files were changed meanwhile: it all begins again")
            self._staging.beginAdoption(fingerprint)

    def _open(self, copy: Copy) -> tuple[list[Found], bool]:
        """Return the queues, and whether there are some that cannot be opened."""
        queues, why = copy.found(copy.queues())
        if why and not self._skipDamaged:
            raise _refusal(*why)
        for line in why:
            self._say(f"Left out: {line}")
        return queues, bool(why)

    def _announce(self, queues: list[Found], staged: dict[bytes, Staged]) -> None:
        """Say what is to be done, and refuse it if there is no room for that."""
        offsets = {name: row.offset for name, row in staged.items()}
        messages = estimate([found.file for found in queues], offsets)
        self._volume = min(self._volume, max(MEGABYTE, messages))
        self._total = sum(found.file.span for found in queues)
        self._done = self._before = sum(offsets.values())
        need = roomNeeded(messages, 0, self._volume)
        self._say(
            f"Taking over {len(queues)} queues of MemcacheQ's with about {self._total} "
            f"messages, {self._done} of them are here; that needs about "
            f"{megabytes(need)}"
        )
        self._needRoom(need)
        for found in queues:
            if _UNSPEAKABLE.search(found.file.name):
                name = shownName(found.file.name)
                self._say(f"No client can name the queue {name}")
        self._progress.begin()

    def _needRoom(self, need: int) -> None:
        free = self._store.freeBytes() if self._store.reserveSpace() else 0
        if need and free is not None and free < need:
            raise HomeError(
                f"{self._home.directory}: taking over MemcacheQ's queues needs about "
                f"{megabytes(need)}, and there are {megabytes(free)}; make room, "
                "nothing is lost"
            )

    def _takeQueue(self, found: Found, staged: Staged | None) -> Staged:
        file = found.file
        if staged is None:
            staged = self._staging.stageQueue(file.name)
        batch: list[OldMessage] = []
        size = 0
        for item in file.read(staged.offset):
            if isinstance(item, Damage):
                staged = self._damage(item, staged)
                continue
            batch.append(item)
            size += len(item.body)
            if len(batch) >= BATCH or size >= BATCH_BYTES:
                staged = self._stage(found, staged, batch, item.offset + 1)
                batch, size = [], 0
        staged = self._stage(found, staged, batch, file.span)
        if file.unused:
            self._say(
                f"{file.unused} record numbers of queue {shownName(file.name)} were "
                "never used"
            )
        return staged

    def _stage(
        self, found: Found, staged: Staged, batch: list[OldMessage], offset: int
    ) -> Staged:
        file = found.file
        self._done += offset - staged.offset
        messages = staged.messages + len(batch)
        staged = staged._replace(offset=offset, messages=messages)
        self._staging.stage(file.name, staged, found.pushed - file.span, batch)
        self._checkpointIfDue()
        percent = 100 * self._done // self._total if self._total else 100
        done, total = self._done - self._before, self._total - self._before
        self._tick(
            f"{self._done} of {self._total} messages are taken over, {percent} %, "
            f"{self._progress.rate(done):.0f}/s",
            done / max(total, 1),
        )
        return staged

    def _checkpointIfDue(self) -> None:
        if self._store.logged() < self._volume:
            return
        self._store.checkpoint()
        if not self._keepLogs:
            self._store.removeLogs()
        self._needRoom(VOLUMES * self._volume)

    def _damage(self, damage: Damage, staged: Staged) -> Staged:
        if not self._skipDamaged:
            raise _refusal(damage.why)
        if staged.damaged < _TOLD:
            self._say(f"Left out: {damage.why}: {damage.records} records")
        return staged._replace(damaged=staged.damaged + damage.records)

    def _tick(self, progress: str, part: float | None = None) -> None:
        """Say once a second how far it is, and stop if that was asked for."""
        if self._stop.is_set():
            raise Interrupted
        if self._progress.reach(lambda: progress, part):
            # So a kill costs the work of a second.
            self._store.flush()

    def _refuseChanged(self, fingerprint: bytes) -> None:
        now = findOld(self._home.path)
        if now is None or now.fingerprint() != fingerprint:
            raise HomeError(
                f"{self._home.path}: MemcacheQ's files were changed while they were "
                "taken over: stop whatever works on them, and start again"
            )

    def _finish(self, state: AdoptionState) -> None:
        for name, staged in self._staging.staged().items():
            while self._staging.mergeSome(name, staged, BATCH):
                self._checkpointIfDue()
                self._tick(
                    f"Messages of queue {shownName(name)} move behind those it had"
                )
        self._store.flush()
        # Nothing of the old files is to be needed again, not even by a recovery.
        self._store.checkpoint()
        aside = None
        if state.isKept:
            aside = os.path.join(self._home.way, ASIDE)
            os.makedirs(aside, 0o700, exist_ok=True)
        old = OldDirectory(os.fsencode(self._home.path))
        old.remove(state.files, aside)
        Copy(old, self._copyPath).remove()
        self._staging.endAdoption()
        self._store.flush()
        done = "removed" if aside is None else f"kept in {aside}: some were damaged"
        self._say(self._home.named(f"MemcacheQ's files are {done}"))
