"""Watch: look after clients that have fallen silent.

Once a second it goes over all connections.  A connection itself only notes that
something came from its client or could be sent to it, which costs it next to nothing;
since when that was not so is known to a second here, and that is enough.

- A body of which no byte came for --body-timeout is given up: its client is told and
  the connection closed, so that its room goes to those that wait.  While somebody
  waits, one that does not get on by PART_SIZE in that time is given up as well, or a
  byte now and then would hold the room for ever.
- A client that does not read is cut off after as long, but only when so much is held
  that nobody gets more than the least.
- A client that waits for a message, and has sent too much behind to be read from,
  may be gone unnoticed.  Then its wait is over.
- One whose machine has vanished is cut off, see :mod:`memq.server.keepalive`.
- With --idle-timeout, a connection closes when its client was silent for so long, and
  is owed nothing, or does not read what it is owed.

The time that a connection is not read from, because of the server, does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from memq.errors import BodyTimedOut
from memq.message import PART_SIZE

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from memq.connection.connection import Connection
    from memq.server.factory import QueueFactory

#: Seconds between two looks, at most; a quarter of a shorter time that is allowed.
INTERVAL = 1.0

_log = Logger()


class Silence:
    """How long a connection has kept others waiting.

    :ivar since: when something last came or went.
    :ivar progress: when the body that comes began, or last got on by PART_SIZE.
    """

    __slots__ = ("_command", "_missing", "progress", "since")

    def __init__(self, now: float) -> None:
        self.since = self.progress = now
        self._command: object = None
        self._missing = 0

    def note(self, now: float, command: object, missing: int) -> None:
        """Note how much is missing of a command's body."""
        if command is not self._command or missing <= self._missing - PART_SIZE:
            self._command = command
            self._missing = missing
            self.progress = now


def _isStuck(connection: Connection) -> bool:
    """Return whether a client does not read what it is sent."""
    return (
        connection.session.blocked
        or connection.transport.disconnecting
        or connection.isFinishing
    )


class ConnectionTimeouts:
    """Close connections whose clients are silent for too long."""

    def __init__(
        self,
        clock: IReactorTime,
        factory: QueueFactory,
        *,
        bodyTimeout: float = 60.0,
        idleTimeout: float = 0.0,
    ) -> None:
        """Take the connections to look after.

        :param bodyTimeout: seconds that a body may stand still, 0 for any.
        :param idleTimeout: seconds that a client may be silent, 0 for any.
        """
        self._factory = factory
        self._bodyTimeout = bodyTimeout or float("inf")
        self._idleTimeout = idleTimeout or float("inf")
        self._clock = clock
        self._patience: dict[Connection, Silence] = {}
        self._call = LoopingCall(self.look)
        self._call.clock = clock

    def start(self) -> None:
        """Begin; nothing is done when nothing is limited."""
        keepalive = self._factory.keepalive.seconds or float("inf")
        shortest = min(self._bodyTimeout, self._idleTimeout, keepalive)
        if shortest < float("inf"):
            ended = self._call.start(min(INTERVAL, shortest / 4), now=False)
            ended.addErrback(self._ebLook)

    def _ebLook(self, failure: Failure) -> None:
        _log.failure("Silent clients are not looked after any more", failure)

    def stop(self) -> None:
        """End."""
        if self._call.running:
            self._call.stop()

    def look(self) -> None:
        """Look at each connection once."""
        now = self._clock.seconds()
        self._factory.keepalive.look(self._factory.connections, now)
        before, after = self._patience, {}
        mayBeSilent = self._idleTimeout == float("inf")
        for connection in list(self._factory.connections):
            # Most of very many connections are silent, and may be.
            if (
                mayBeSilent
                and connection.receiver.command is None
                and not connection.receiver.paused
                and not _isStuck(connection)
            ):
                continue
            patience = before.get(connection)
            if patience is None:
                patience = Silence(now)
            after[connection] = patience
            self._lookAt(connection, patience, now)
        self._patience = after

    def _lookAt(self, connection: Connection, patience: Silence, now: float) -> None:
        stuck = _isStuck(connection)
        if connection.receiver.paused and not stuck:
            # It is the server that lets the client wait.
            patience.since = patience.progress = now
            session = connection.session
            if session.isWaiting and connection.hasLeft:
                session.hurry()
            return
        if connection.receiver.heard:
            connection.receiver.heard = False
            patience.since = now
        missing = connection.receiver.missing
        patience.note(now, connection.receiver.command, missing)
        silent = now - patience.since
        budget = self._factory.broker.budget
        if missing and (
            silent >= self._bodyTimeout
            or (budget.waiting and now - patience.progress >= self._bodyTimeout)
        ):
            connection.giveUp(BodyTimedOut())
        elif stuck:
            if silent >= self._idleTimeout or (
                silent >= self._bodyTimeout and budget.isShort
            ):
                connection.transport.abortConnection()
        elif silent >= self._idleTimeout and not connection.owes:
            connection.finish()
