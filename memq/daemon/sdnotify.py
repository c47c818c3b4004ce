"""Notifications to the service manager, as in sd_notify(3).

A service of type ``notify`` counts as started when it says so, which is when its
clients are answered and not before.  Between that, a person who asks for the status
reads what goes on.  With a watchdog, the manager ends a process whose reactor stands
still: so what keeps the watchdog quiet comes from the reactor, never from a thread.

Telling never waits and never fails.  The manager may have no room: that is told
with the next tick, in its latest form.
"""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from memq.display import shownText

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from twisted.python.failure import Failure

#: Most seconds between two ticks.
TICK = 5.0
#: Microseconds that each tick of a start or a stop asks for, from then on.
EXTENSION = 30_000_000
#: Most characters of a status; systemd drops datagrams of more than 4096 bytes.
LONGEST = 500

_log = Logger()


class Notifier(Service):
    """Tells a service manager, if there is one, how the server is.

    It ticks from the start until the reactor ends, a stop that takes long included.
    """

    def __init__(
        self, clock: Any, address: str | None = None, watchdog: float | None = None
    ) -> None:
        """Take whom to tell, and how often.

        :param clock: IReactorTime.
        :param address: path of a datagram socket, or @ and its abstract name; None
            when there is nobody to tell.
        :param watchdog: seconds after which the manager takes silence for a hang;
            None when it does not.
        """
        self._address = address
        self._watchdog = watchdog is not None
        self._loop = LoopingCall(self._tick)
        self._loop.clock = clock
        self._interval = TICK if watchdog is None else min(watchdog / 2, TICK)
        #: Fields that were not told yet.
        self._untold: dict[str, str] = {}
        #: Whether a start or a stop is under way.
        self._changing = False
        self._failed = False
        self._complained = False

    @classmethod
    def fromEnvironment(
        cls, clock: Any, environment: MutableMapping[str, str]
    ) -> Notifier:
        """Return one that tells whom the environment names.

        :param environment: what is read is removed, so that no other process takes
            it for its own.
        """
        address = environment.pop("NOTIFY_SOCKET", None)
        interval = environment.pop("WATCHDOG_USEC", "")
        pid = environment.pop("WATCHDOG_PID", "")
        watchdog = None
        isOurs = pid in ("", str(os.getpid()))
        if isOurs and re.fullmatch("[1-9][0-9]{0,18}", interval):
            watchdog = int(interval) / 1e6
        return cls(clock, address or None, watchdog)

    def startService(self) -> None:
        """Begin to tick, and say that the start is under way."""
        super().startService()
        if self._address is None:
            return
        self._changing = True
        self.status("Opening the store; after a crash, this recovers it")
        self._loop.start(self._interval).addErrback(self._ebTick)

    def _ebTick(self, failure: Failure) -> None:
        _log.failure("The service manager is not told any more", failure)

    def ready(self, line: str) -> None:
        """Say that clients are answered now.

        :param line: the status.
        """
        if self.running:
            self._changing = False
            self._tell(line, READY="1")

    def status(self, line: str) -> None:
        """Say what goes on; once something failed, that stays the status.

        :param line: for a person.
        """
        self._tell(line)

    def fail(self, reason: str) -> None:
        """Say why the server cannot go on, or not start.

        :param reason: for a person; it may be the first thing that is told.
        """
        self.status(reason)
        self._failed = True

    def stopService(self) -> None:
        """Say that the stop begins; the ticks go on until it is over."""
        super().stopService()
        self._changing = True
        status = "Stopping: answering what was taken, then closing the store"
        self._tell(status, STOPPING="1")

    def _tick(self) -> None:
        """Say that the reactor runs, and that a start or a stop needs more time."""
        fields = {}
        if self._watchdog:
            fields["WATCHDOG"] = "1"
        if self._changing:
            fields["EXTEND_TIMEOUT_USEC"] = str(EXTENSION)
        self._tell(**fields)

    def _tell(self, status: str | None = None, **fields: str) -> None:
        self._untold |= fields
        if status is not None and not self._failed:
            self._untold["STATUS"] = shownText(" ".join(status.split()))[:LONGEST]
        if self._address is None or not self._untold:
            return
        lines = [f"{name}={value}" for name, value in self._untold.items()]
        data = "\n".join(lines).encode("utf-8", "backslashreplace")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(data, re.sub("^@", "\0", self._address))
        except OSError as error:
            self._complain(error)
        else:
            self._untold = {}

    def _complain(self, error: OSError) -> None:
        """Log why the manager could not be told, the first time."""
        if not self._complained:
            self._complained = True
            _log.warn(
                "NOTIFY_SOCKET {address}: the service manager could not be told: {why}",
                address=self._address,
                # "AF_UNIX path too long" comes without an error number.
                why=error.strerror or error,
            )
