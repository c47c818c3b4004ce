"""The process: its exit status, its outermost service, its limits.

twistd by itself ends with status 0 whatever stopped the reactor, and takes its pid file
for a lock.  Here

- :class:`ExitStatus` alone stops the reactor and owns the exit status;
- :class:`ProcessService` is the outermost service, which has the signals, the pid file
  and the home around the queues, in the process that is left after a daemon's forks.
"""

from __future__ import annotations

import atexit
import gc
import os
import pwd
import resource
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from twisted.application.service import IServiceCollection, MultiService
from twisted.internet.error import ReactorNotRunning
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized

from memq.daemon.pidfile import PidFile
from memq.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twisted.internet.defer import Deferred

    from memq.daemon.signals import Signals
    from memq.storage.datadir.home import Home

#: Descriptors that are not connections: the store's files, logs, epoll, pipes.
OTHER_FILES = 270
#: How many of these stay free when clients are taken: those of ACCEPTS clients that are
#: refused in one round and closed in the next, twice, and a few for the store.
SPARE_FILES = 210

_log = Logger()


class ExitStatus:
    """Stop the reactor once, and give the process its exit status.

    The status is 0 unless something failed.  Any other one is delivered when the
    interpreter exits: the reactor has stopped by then, and twistd has tidied up.
    """

    def __init__(
        self,
        reactor: Any,
        atExit: Callable[[Callable[[], None]], object] = atexit.register,
        exit: Callable[[int], object] = os._exit,
        failed: Callable[[str], object] = lambda reason: None,
    ) -> None:
        """Take the reactor to stop.

        :param atExit: registers a function to be called at the very end.
        :param exit: ends the process with a status.
        :param failed: is told, as the log is, why the server cannot go on.
        """
        self.status = 0
        self._reactor = reactor
        self._atExit = atExit
        self._exit = exit
        self._failed = failed
        self._stopping = False

    def stop(self, why: str) -> None:
        """Stop the server in good order; no-op when it is stopping already.

        :param why: what asked for it, for the log.
        """
        if self._stopping:
            _log.info("{why}: the server is stopping already", why=why)
        else:
            _log.info("{why}: the server stops", why=why)
            self._stopReactor()

    def fail(self, reason: str, status: int = 1) -> None:
        """Stop the server, because it cannot go on.

        :param reason: one line that a person understands.
        :param status: the exit status, 1 to 255; the first one given counts.
        """
        _log.critical("{reason}", reason=reason)
        self._failed(reason)
        if self.status == 0:
            self.status = status
            self._atExit(self._leave)
        self._stopReactor()

    def _stopReactor(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._reactor.callWhenRunning(self._stopRunning)

    def _stopRunning(self) -> None:
        # Somebody else may just have done so.
        with suppress(ReactorNotRunning):
            self._reactor.stop()

    def _leave(self) -> None:
        """End the process with the status; nothing of memq's is buffered."""
        self._exit(self.status)


class ProcessService(MultiService):
    """The outermost service: the queues' services run inside it."""

    def __init__(
        self,
        reactor: Any,
        signals: Signals,
        home: Home | None = None,
        observer: ILogObserver | None = None,
        pidFile: PidFile | None = None,
    ) -> None:
        """Take what the process holds.

        :param home: the home that is released when everything has stopped.
        :param observer: what twistd shall log to, instead of its own.
        :param pidFile: where the process is told; None for nowhere.
        """
        MultiService.__init__(self)
        self._reactor = reactor
        self._signals = signals
        self._home = home
        self._observer = observer
        self._pidFile = pidFile or PidFile("")

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """Join an application, which twistd asks for its log just after this."""
        if self._observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)
        MultiService.setServiceParent(self, parent)

    def privilegedStartService(self) -> None:
        """Write the pid file: the forks are over, and root is root still."""
        try:
            self._pidFile.write()
        except OSError as error:
            self._warn("the server goes without", error)
        MultiService.privilegedStartService(self)

    def startService(self) -> None:
        """Start the services inside; signals are acted on once the reactor runs."""
        self._signals.hold()
        self._reactor.callWhenRunning(self._signals.install)
        if self._home is not None:
            self._home.writePid()
        MultiService.startService(self)

    def stopService(self) -> Deferred[Any]:
        """Stop the services inside, then let go of the home."""
        stopped: Deferred[Any] = MultiService.stopService(self)
        return stopped.addCallback(self._cbRelease)

    def _cbRelease(self, result: object) -> object:
        try:
            self._pidFile.remove()
        except OSError as error:
            self._warn("it stays", error)
        if self._home is not None:
            self._home.release()
        return result

    def _warn(self, then: str, error: OSError) -> None:
        _log.warn(
            "--pidfile {path}: {error}; {then}",
            path=self._pidFile.path,
            error=error.strerror,
            then=then,
        )


def findOwner(twistd: Mapping[str, Any]) -> tuple[int, int]:
    """Return the user and the group that the server will run as.

    :param twistd: twistd's own options; it changes to them after the ports are
        bound, and before the services start.
    :return: uid and gid.
    :raise memq.errors.StartError: when the process cannot become that user.
    """
    now = os.geteuid(), os.getegid()
    uid, gid = twistd.get("uid"), twistd.get("gid")
    if uid is not None and gid is None:
        try:
            gid = pwd.getpwuid(uid).pw_gid
        except KeyError:
            raise StartError(f"--uid {uid}: no such user; give --gid too") from None
    owner = now[0] if uid is None else uid, now[1] if gid is None else gid
    if owner != now and now[0] != 0:
        raise StartError(f"--uid {owner[0]}: only root can change to another user")
    return owner


def useSteadyClock(reactor: Any) -> None:
    """Let the reactor count seconds on a clock that nobody sets.

    By itself it goes by the time of day, and when that is set back by an hour, nothing
    that was due in a second happens for an hour: no checkpoint, no look at the disk.

    :param reactor: of which nothing was asked yet that takes time.
    """
    reactor.seconds = monotonic


def raiseFileLimit(connections: int) -> int:
    """Let the process open as many files as it may need.

    :param connections: the most connections, 1 or more.
    :return: how many connections there is room for: ``connections``, or fewer,
        which the log then says.
    """
    needed = connections + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return connections
    allowed = hard if hard == resource.RLIM_INFINITY else max(needed, hard)
    if _raiseLimit(resource.RLIMIT_NOFILE, needed, allowed):
        return connections
    room = max(1, hard - OTHER_FILES)
    _log.warn(
        "--max-connections {connections}: this process may open {hard} files, "
        "which is room for {room}; raise its limit (ulimit -n, LimitNOFILE=)",
        connections=connections,
        hard=hard,
        room=room,
    )
    return room


def _raiseLimit(which: int, soft: int, hard: int) -> bool:
    """Set a limit, or the most that is allowed; return whether it could be set."""
    _, most = resource.getrlimit(which)
    try:
        resource.setrlimit(which, (soft, hard))
    except (OSError, ValueError):
        resource.setrlimit(which, (most, most))
        return False
    return True


def isRoomForClient() -> bool:
    """Return whether enough descriptors are left to take one more connection.

    Some are kept for the store, which would fail for good without a file that it needs,
    and for clients that have to be told that there is no room.
    """
    try:
        lowest = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    os.close(lowest)
    # It may be changed from outside.
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft == resource.RLIM_INFINITY or lowest < soft - SPARE_FILES


def sparePermanent() -> None:
    """Keep the garbage collector away from what is there now, and will stay.

    Modules, classes and the like are most of what it would look through, over and
    over; without them the longest waits of clients were 10 ms instead of 27.
    """
    gc.collect()
    gc.freeze()


def raiseCoreLimit() -> None:
    """Let the process leave a core file as large as it may be, and log how large."""
    unlimited = resource.RLIM_INFINITY
    if _raiseLimit(resource.RLIMIT_CORE, unlimited, unlimited):
        _log.info("-r: a core file may have any size")
    else:
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        _log.info("-r: a core file may have {hard} bytes", hard=hard)


def forbidCoreFiles() -> None:
    """Let the process leave no core file: its memory has what nobody is to read.

    Only the soft limit is lowered, so that root can raise it to look for a fault.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if soft:
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
        _log.info("No core file is left: it would have secrets of users and of TLS")
