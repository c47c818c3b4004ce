"""Keepalive: clients whose machine has vanished are found out.

A machine that lost its power, or its network, says no farewell.  While nothing is under
way to it, the system asks it from time to time whether it is there, and ends the
connection when it is not.  While something is, the system only sends that again, for a
quarter of an hour; so connections are looked at from here.

TCP_USER_TIMEOUT would do the latter, but it cuts off clients that are there and do not
read, as soon as what waits for them does not fit their system: with 3 s, after 3.5 s.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memq.connection.connection import Connection

#: How often a machine is asked before it has vanished.
PROBES = 3
#: Looks in the time that a machine may be silent.
LOOKS = 10


class Keepalive:
    """Find out which machines have vanished.

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

    def look(self, connections: Iterable[Connection], now: float) -> None:
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
            # What came last may have come long before the question.
            since = self._since[connection] = before.get(connection, now)
            if min(heard, now - since) >= self.seconds:
                connection.transport.abortConnection()
