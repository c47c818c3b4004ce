"""Telling: what ``stats conns`` says of each connection, some at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.commands.details import Telling
from memq.server.clients import figuresOf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memq.connection.connection import Connection
    from memq.interfaces import IQueueStore
    from memq.server.clients import Arrival, ClientFigures


class TellClients(Telling):
    """The figures of connections; they are named by their ids."""

    def __init__(self, connections: Mapping[Connection, Arrival]) -> None:
        """Begin.

        :param connections: those that are there, always the same object.
        """
        super().__init__()
        self._connections = connections

    def _names(self, store: IQueueStore) -> list[bytes]:
        return [b"%d" % arrival.id for arrival in self._connections.values()]

    def _told(self, which: slice, store: IQueueStore) -> bytes:
        ids = [int(name) for name in self.queues[which]]
        last = max(ids, default=0)
        found = figuresOf(self._connections, min(ids, default=1) - 1, len(ids))
        return b"".join([_lines(each) for each in found if each.id <= last])


def encoded(user: str) -> bytes:
    """Return the name of a user as one word."""
    return user.replace(" ", "_").encode("utf-8")


def _lines(client: ClientFigures) -> bytes:
    """Return a line for each figure; what nobody knows is left out."""
    told = {
        b"addr": client.peer.replace(" ", "_").encode("ascii"),
        b"user": None if client.user is None else encoded(client.user),
        b"since": b"%.3f" % client.since,
        b"protocol": client.protocol.encode("ascii"),
        b"received": client.received,
        b"sent": client.sent,
        b"open": client.open,
        b"outstanding": client.outstanding,
        b"waits": client.waits,
    }
    known = {
        name: b"%d" % value if isinstance(value, int) else value
        for name, value in told.items()
    }
    id = b"%d" % client.id
    return b"".join(
        [
            b"STAT %b:%b %b\r\n" % (id, name, value)
            for name, value in known.items()
            if value is not None
        ]
    )
