"""Entrances: the factory of each listener, which knows what that asks of its clients.

All of them count and bound connections together, in the factory of the server.  Clients
that have still to say who they are have a bound of their own, see :class:`Strangers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger

from memq.ratelimit import EachTurn, Rarely

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress, IReactorTime
    from twisted.internet.protocol import Protocol

    from memq.access.admission import Admission
    from memq.connection.connection import Connection
    from memq.server.factory import QueueFactory


#: Clients that are not known at a time: 18 MB, with the most that each can hold.
MOST_STRANGERS = 1024
#: Of these, how many are heard in a turn of the reactor: 0.15 ms each.
HEARD = 16

_log = Logger()


class Strangers:
    """Connections of clients that have still to say who they are.

    What they say is heard a little in each turn, so that others are served meanwhile.
    The oldest ends for the newest, which has just shown that it is there: clients that
    say nothing keep out nobody who does.
    """

    def __init__(self, clock: IReactorTime) -> None:
        """Begin without any."""
        self._connections: dict[Connection, None] = {}
        self._rarely = Rarely(clock.seconds)
        self._turns = EachTurn(clock, HEARD)

    def hear(self, call: Callable[[], object]) -> bool:
        """Let a client be heard now, or in a later turn; return whether now."""
        return self._turns.call(call)

    def leave(self, call: Callable[[], object]) -> None:
        """Hear a client no more that may wait for its turn."""
        self._turns.leave(call)

    def add(self, connection: Connection) -> None:
        """Take one more, at the cost of the one that has taken longest."""
        if len(self._connections) >= MOST_STRANGERS:
            self.endOldest()
        self._connections[connection] = None

    def remove(self, connection: Connection) -> None:
        """Forget one that is known, or gone."""
        self._connections.pop(connection, None)

    def endOldest(self) -> bool:
        """End the one that has taken longest; return whether there was one."""
        oldest = next(iter(self._connections), None)
        if oldest is None:
            return False
        del self._connections[oldest]
        oldest.transport.abortConnection()
        count = self._rarely.count("")
        if count:
            _log.warn(
                "{count} clients are cut off that did not say who they are, the last "
                "one {peer}: there are too many of them",
                count=count,
                peer=oldest.peer,
            )
        return True


class Entrance(ServerFactory):
    """Make the connections of one listener."""

    noisy = False

    def __init__(self, factory: QueueFactory, admission: Admission) -> None:
        """Begin; see ``QueueFactory.through``."""
        self._factory = factory
        self._admission = admission

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """Return the protocol of a connection, or one that refuses it."""
        return self._factory.admit(self._admission)
