"""Maintenance: the periodic work on the store, in the thread pool.

- trickle: write changed pages early, so that a put always finds a clean one;
- checkpoint: bound the time of a recovery, by time and by volume of log, and
  sooner when there is little else to do;
- log removal at the start and after each checkpoint, unless the logs are to be kept;
- with no-sync, a flush a second, which is what a power cut can cost;
- watch the room on the file system: below --min-free, pushes are refused, and there is
  a checkpoint after every little of log, so that taking messages out gives room back;
- let the store tidy: what it has to do for that in transactions, it sweeps in the
  broker, between turns;
- see, in the reactor's thread, that the home is still the one that was opened: a
  checkpoint in the pool must not hold that up.

A failure is logged with its cause and tried again at the next round; one that
the store cannot come back from ends the broker, and so does a home that is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from memq.broker.diskspace import DiskEvent
from memq.errors import HomeGone, OutOfSpace, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from memq.broker.broker import Broker
    from memq.server.stats import Statistics
    from memq.storage.maintenance import IMaintainedStore

#: Seconds between two looks at the disk, and between two flushes with no-sync.
WATCH_INTERVAL = 1.0
#: Seconds between two looks at the home, which take 50 us.
HOME_INTERVAL = 0.5
#: Bytes of log between checkpoints while there is little room, at most.
NEAR_LIMIT_VOLUME = 1024 * 1024
#: Bytes of log for which a quiet second is used: the log files of a burst go when it is
#: over, and a later start is quick.
QUIET_VOLUME = 16 * 1024 * 1024
#: Bytes of log in a second from which on it is not quiet.
QUIET_GROWTH = 64 * 1024

_log = Logger()


class MaintenanceSettings(NamedTuple):
    """How often, and how much.

    :ivar checkpoint: seconds between checkpoints, 0 for those by volume only.
    :ivar checkpointVolume: bytes of log after which there is one anyway; a
        recovery takes about 7 ms a MB of log.
    :ivar trickle: seconds between trickles, 0 for none.
    :ivar tricklePercent: how much of the cache a trickle leaves clean, 1 to 100.
    :ivar removeLogs: whether log files that are not needed are removed.
    :ivar minFree: bytes free on the file system below which pushes are refused.
    :ivar lookStep: bytes that may be stored in any case until the next look at it.
    :ivar lookAfter: bytes after which there is one while little is left.
    """

    checkpoint: float = 300.0
    checkpointVolume: int = 256 * 1024 * 1024
    trickle: float = 0.5
    tricklePercent: int = 60
    removeLogs: bool = True
    minFree: int = 64 * 1024 * 1024
    lookStep: int = 8 * 1024 * 1024
    lookAfter: int = 4 * 1024 * 1024


class Maintenance:
    """Do the periodic work of one store."""

    def __init__(
        self,
        clock: IReactorTime,
        store: IMaintainedStore,
        broker: Broker,
        statistics: Statistics,
        run: Callable[..., Deferred[Any]],
        settings: MaintenanceSettings,
    ) -> None:
        """Remember what to work on.

        :param run: calls functions in a thread, one after the other; it returns a
            Deferred of the result.
        """
        self._store = store
        self._broker = broker
        self._statistics = statistics
        self._run = run
        self._settings = settings
        self._clock = clock
        #: The bytes of log at the last look.
        self._logged = 0
        #: Bytes of log between checkpoints while there is little room.
        self._nearLimit = min(NEAR_LIMIT_VOLUME, settings.lookStep // 2)
        self._room = broker.room
        self._room.bound(settings.minFree, settings.lookStep, settings.lookAfter)
        self._room.subscribe(DiskEvent.CHANGED, self._roomChanged)
        self._room.subscribe(DiskEvent.HELD, self._lookNow)
        #: Whether the disk is being looked at, and is to be looked at again.
        self._looking = self._lookAgain = False
        #: Why it cannot be told whether the home is there, as it was said last.
        self._doubt: str | None = None
        self._calls: list[LoopingCall] = []
        self._ended: list[Deferred[LoopingCall]] = []

    def start(self) -> Deferred[None]:
        """Begin, once the store is open; fires after a first look at the disk."""
        settings = self._settings
        if settings.removeLogs:
            # The store has made a checkpoint as it was opened: what the last run left
            # is not needed, and would add up when one run after the other is killed.
            self.removeLogs().addErrback(self._ebFailed)
        first = self._look(settings.checkpointVolume)
        self._every(HOME_INTERVAL, self._checkHome)
        self._every(WATCH_INTERVAL, self._watch)
        self._every(settings.trickle, self._trickle)
        self._every(settings.checkpoint, self.checkpoint)
        if not self._broker.durable:
            self._every(WATCH_INTERVAL, self._flush)
        return first

    def _every(self, interval: float, work: Callable[[], object]) -> None:
        if interval <= 0:
            return
        call = LoopingCall(lambda: maybeDeferred(work).addErrback(self._ebFailed))
        call.clock = self._clock
        self._calls.append(call)
        self._ended.append(call.start(interval, now=False))

    def stop(self) -> Deferred[None]:
        """End; fires when nothing is under way any more."""
        for call in self._calls:
            call.stop()
        self._calls = []
        return gatherResults(self._ended).addCallback(lambda _: None)

    def checkpoint(self) -> Deferred[None]:
        """Make a checkpoint, and remove log files that it made superfluous."""
        return self._work(self._checkpoint)

    def _checkpoint(self) -> None:
        # One call in the pool: the store must not be closed between the two.
        self._store.checkpoint()
        self._statistics.noteCheckpoint()
        if self._settings.removeLogs:
            self._store.removeLogs()

    def removeLogs(self) -> Deferred[None]:
        """Remove log files that no recovery needs."""
        return self._work(self._store.removeLogs)

    def _trickle(self) -> Deferred[None]:
        return self._work(self._store.trickle, self._settings.tricklePercent)

    def _flush(self) -> Deferred[None]:
        return self._work(self._store.flush)

    def _work(self, *call: Any) -> Deferred[None]:
        """Call something of the store in the pool; what it returns does not matter."""
        done = self._run(*call)
        return done.addCallbacks(lambda _: None, self._ebWork)

    def _ebWork(self, failure: Failure) -> Failure:
        """End the broker, whoever asked for the work, when the store has failed."""
        if isinstance(failure.value, StoreFailed):
            self._end(failure.value)
        else:
            # Perhaps that is why, and then there is no next time.
            self._checkHome()
        return failure

    def _end(self, error: StoreFailed) -> None:
        if isinstance(error, HomeGone):
            self._broker.end(error)
        else:
            self._broker.fail(error)

    def _checkHome(self) -> None:
        """End the broker when the home is not the one that was opened.

        A file system that cannot tell for a while is no reason to: the store has its
        files open, and a disk that fails fails a sync.
        """
        try:
            error = self._store.checkHome()
        except StoreFailed as failed:
            self._end(failed)
            return
        doubt = None if error is None else str(error)
        if doubt != self._doubt:
            self._doubt = doubt
            if doubt is None:
                _log.info("The home is where it was")
            else:
                _log.warn(
                    "It cannot be told whether the home is there: {why}", why=doubt
                )

    def _watch(self) -> Deferred[None]:
        logged = self._store.logged()
        quiet = 0 <= logged - self._logged < QUIET_GROWTH and logged >= QUIET_VOLUME
        self._logged = logged
        done = self._look(0 if quiet else self._settings.checkpointVolume)
        done.addCallback(lambda _: self._run(self._tidy))
        done.addCallbacks(self._cbTidied, self._ebWork)
        return done

    def _lookNow(self) -> None:
        """Look at the disk: nothing goes on before that."""
        if self._looking:
            # That look may have been too early.
            self._lookAgain = True
        else:
            self._look(self._nearLimit).addErrback(self._ebFailed)

    def _tidy(self) -> int:
        room = self._store.tidy()
        if room and self._settings.removeLogs:
            # There was a checkpoint just now.
            self._store.removeLogs()
        return room

    def _cbTidied(self, room: int) -> None:
        if room:
            self._room.gaveBack()
            _log.info("{room} bytes of a drained file are given back", room=room)
        self._broker.sweep()

    def _look(self, volume: int) -> Deferred[None]:
        """Look at the disk.

        :param volume: bytes of log that call for a checkpoint before.
        """
        self._looking = True
        self._room.look()
        done = self._run(self._measure, volume).addBoth(self._cbLooked)
        return done.addCallbacks(self._cbMeasured, self._ebNotMeasured)

    def _measure(self, volume: int) -> tuple[int | None, int]:
        try:
            free = self._makeRoom(volume)
        except OutOfSpace:
            free = 0
        return free, self._store.bytesOnDisk()

    def _makeRoom(self, volume: int) -> int | None:
        """Make a checkpoint if it is time for that, and return what is free then."""
        store = self._store
        if store.logged() >= volume:
            self._checkpoint()
        free = self._free()
        isLow = free is not None and free < self._room.least
        # Taking messages out writes to the log, and must not fill the rest.
        if isLow and self._nearLimit <= store.logged() < volume:
            self._checkpoint()
            free = self._free()
        return free

    def _free(self) -> int | None:
        """Return what is free beside the reserve, 0 when that cannot be had."""
        return self._store.freeBytes() if self._store.reserveSpace() else 0

    def _cbLooked(self, result: object) -> object:
        self._looking = False
        if self._lookAgain:
            self._lookAgain = False
            self._clock.callLater(0, self._lookNow)
        return result

    def _cbMeasured(self, measured: tuple[int | None, int]) -> None:
        free, self._statistics.bytesOnDisk = measured
        self._room.looked(free)

    def _ebNotMeasured(self, failure: Failure) -> Failure:
        # Nobody is to wait for a look that has failed.
        self._room.looked(self._room.free)
        return self._ebWork(failure)

    def _roomChanged(self) -> None:
        room = self._room
        self._statistics.diskFull(room.isFull)
        if room.isFull:
            _log.error(
                "Sets are refused, the disk is full: {free} bytes were free when it "
                "was looked at, --min-free is {least}",
                free=room.free,
                least=room.least,
            )
        else:
            _log.info(
                "Sets are taken again: {free} bytes are free, and {inside} inside the "
                "files",
                free=room.free,
                inside=room.inside,
            )

    def _ebFailed(self, failure: Failure) -> None:
        if failure.check(OutOfSpace):
            # The log says so once, when that begins; there is a next time.
            self._room.exhausted()
        elif not failure.check(StoreFailed):
            _log.error(
                "Maintenance failed, and is tried again: {error}", error=failure.value
            )
