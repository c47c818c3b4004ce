"""Entrances: the factory of each listener, which knows what that asks of its clients.

All of them count and bound connections together, in the factory of the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.protocol import ServerFactory

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress
    from twisted.internet.protocol import Protocol

    from memq.access.admission import Admission
    from memq.server.factory import QueueFactory


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
