"""Timeouts: clients that fall silent, or whose machine has vanished, are closed.

Once a second :class:`ConnectionTimeouts` goes over all connections.  A connection
itself only notes that something came from its client or could be sent to it, which
costs it next to nothing; since when that was not so is known to a second here.

- A body of which no byte came for --body-timeout is given up: its client is told and
  the connection closed, so that its room goes to those that wait.  While somebody
  waits, one that does not get on by PART_SIZE in that time is given up as well, or a
  byte now and then would hold the room for ever.
- A client that does not read is cut off after as long, but only when so much is held
  that nobody gets more than the least.
- A client that waits for a message, and has sent too much behind to be read from,
  may be gone unnoticed.  Then its wait is over.
- With --idle-timeout, a connection closes when its client was silent for so long, and
  is owed nothing, or does not read what it is owed.
- With --keepalive, a client whose machine has vanished is cut off, see
  :class:`Keepalive`.

The time that a connection is not read from, because of the server, does not count.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from memq.broker.session import BLOCKED
from memq.errors import BodyTimedOut
from memq.message import PART_SIZE

if TYPE_CHECKING:
    from collections.abc import Collection

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from memq.broker.memorybudget import Budget
    from memq.connection.connection import Connection

#: Seconds between two looks, at most; a quarter of a shorter time that is allowed.
INTERVAL = 1.0
#: How often a machine is asked before it has vanished.
PROBES = 3
#: Looks in the time that a machine may be silent.
LOOKS = 10

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


class Keepalive:
    """Find out which clients' machines have vanished.

    A machine that lost its power, or its network, says no farewell.  While nothing is
    under way to it, the system asks it from time to time whether it is there, and ends
    the connection when it is not.  While something is, the system only sends that
    again, for a quarter of an hour; so connections are looked at from here.

    TCP_USER_TIMEOUT would do the latter, but it cuts off clients that are there and do
    not read, as soon as what waits for them does not fit their system: with 3 s, after
    3.5 s.

    :ivar seconds: how long a machine may say nothing, though it is asked; 0 for as long
        as the system lets it.
    """

    def __init__(self, seconds: int = 0) -> None:
        self.seconds = seconds
        self._lookedAt = -inf
        #: Those that owe an answer, and since when that was seen.
        self._since: dict[Connection, float] = {}

    def begin(self, transport: Any) -> None:
        """Let the system ask the machine of a new connection, if it is over TCP."""
        ask = getattr(transport, "askMachine", None)
        if self.seconds and ask is not None:
            interval = max(1, self.seconds // (2 * PROBES))
            ask(max(1, self.seconds - PROBES * interval), interval, PROBES)

    def look(self, connections: Collection[Connection], now: float) -> None:
        """Cut the connections whose machines do not answer.

        It may be called at any time, and looks when it is time to.
        """
        if not self.seconds or now - self._lookedAt < self.seconds / LOOKS:
            return
        self._lookedAt = now
        before, self._since = self._since, {}
        for connection in connections:
            silence = getattr(connection.transport, "silence", None)
            heard = silence() if silence is not None else None
            if heard is None:
                continue
            # The last bytes may have come long before the question.
            since = self._since[connection] = before.get(connection, now)
            if min(heard, now - since) >= self.seconds:
                connection.transport.abortConnection()


class ConnectionTimeouts:
    """Close connections whose clients are silent for too long."""

    def __init__(
        self,
        clock: IReactorTime,
        connections: Collection[Connection],
        budget: Budget,
        keepalive: Keepalive,
        *,
        bodyTimeout: float = 60.0,
        idleTimeout: float = 0.0,
    ) -> None:
        """Take the connections to look after.

        :param connections: those that are open; they come and go.
        :param bodyTimeout: seconds that a body may stand still, 0 for any.
        :param idleTimeout: seconds that a client may be silent, 0 for any.
        """
        self._connections = connections
        self._budget = budget
        self._keepalive = keepalive
        self._bodyTimeout = bodyTimeout or inf
        self._idleTimeout = idleTimeout or inf
        self._clock = clock
        self._silences: dict[Connection, Silence] = {}
        self._call = LoopingCall(self.look)
        self._call.clock = clock

    def start(self) -> None:
        """Begin; nothing is done when nothing is limited."""
        keepalive = self._keepalive.seconds or inf
        shortest = min(self._bodyTimeout, self._idleTimeout, keepalive)
        if shortest < inf:
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
        self._keepalive.look(self._connections, now)
        before, after = self._silences, {}
        mayBeSilent = self._idleTimeout == inf
        for connection in list(self._connections):
            # Most of very many connections are silent, and may be; the calls of
            # _isStuck would be half of the time that they take.
            receiver = connection.receiver
            if (
                mayBeSilent
                and receiver.command is None
                and not receiver.paused
                and connection.session.state is not BLOCKED
                and not connection.transport.disconnecting
                and connection.replies.arrivals is None
            ):
                continue
            silence = before.get(connection)
            if silence is None:
                silence = Silence(now)
            after[connection] = silence
            self._lookAt(connection, silence, now)
        self._silences = after

    def _lookAt(self, connection: Connection, silence: Silence, now: float) -> None:
        stuck = _isStuck(connection)
        if connection.receiver.paused and not stuck:
            # It is the server that lets the client wait.
            silence.since = silence.progress = now
            session = connection.session
            if session.isWaiting and connection.hasLeft:
                session.hurry()
            return
        if connection.receiver.heard:
            connection.receiver.heard = False
            silence.since = now
        missing = connection.receiver.missing
        silence.note(now, connection.receiver.command, missing)
        silent = now - silence.since
        budget = self._budget
        if missing and (
            silent >= self._bodyTimeout
            or (budget.waiting and now - silence.progress >= self._bodyTimeout)
        ):
            connection.giveUp(BodyTimedOut())
        elif stuck:
            if silent >= self._idleTimeout or (
                silent >= self._bodyTimeout and budget.isShort
            ):
                connection.transport.abortConnection()
        elif silent >= self._idleTimeout and not connection.owes:
            connection.finish()
