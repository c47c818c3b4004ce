"""Clients: the figures of each connection, and its end by somebody's word.

Nothing is counted while a connection works: its bytes are the kernel's figures, asked
for when they are told.  Connections are told in the order in which they came, some at a
time, from an id on.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from memq.connection.login import PacketLogin
from memq.connection.packets import PacketReceiver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memq.connection.connection import Connection

#: Connections that are told in one go, in less than a millisecond.
AT_ONCE = 100


class Arrival(NamedTuple):
    """When a connection came.

    :ivar id: a number that no other connection of this process has; it grows.
    :ivar since: when, in seconds since 1970.
    """

    id: int
    since: float


class ClientFigures(NamedTuple):
    """The figures of a connection.

    :ivar peer: its other end, as the log calls it.
    :ivar user: the name of its user; None for anybody.
    :ivar protocol: "text", which meta is a part of, or "binary".
    :ivar received: bytes that came from it; None where the kernel does not count them.
    :ivar sent: bytes that it has acknowledged, likewise.
    :ivar open: messages that it has open.
    :ivar waits: the queue that it waits for a message of, or one of several.
    :ivar outstanding: commands that are not answered.
    """

    id: int
    peer: str
    user: str | None
    since: float
    protocol: str
    received: int | None
    sent: int | None
    open: int
    waits: bytes | None
    outstanding: int


def figuresOf(
    connections: Mapping[Connection, Arrival], after: int = 0, most: int = AT_ONCE
) -> list[ClientFigures]:
    """Return the figures of connections, in the order of their ids.

    :param after: the id behind which to begin.
    :param most: how many at most.
    """
    there = connections.items()
    found = (each for each in there if each[1].id > after)
    return [_figures(*each) for each in islice(found, most)]


def kill(connections: Mapping[Connection, Arrival], id: int) -> str | None:
    """Cut a connection off; return what the log calls its client, None without one.

    What it has open goes back, as when a client is gone.
    """
    for connection, arrival in connections.items():
        if arrival.id == id:
            peer = connection.peer
            connection.transport.abortConnection()
            return peer
    return None


def _figures(connection: Connection, arrival: Arrival) -> ClientFigures:
    session = connection.session
    traffic = getattr(connection.transport, "traffic", None)
    received, sent = (None, None) if traffic is None else traffic()
    isBinary = isinstance(connection.receiver, PacketReceiver | PacketLogin)
    waits = getattr(session.inbox[0], "queue", None) if session.isWaiting else None
    return ClientFigures(
        id=arrival.id,
        peer=connection.peer,
        user=connection.userName,
        since=arrival.since,
        protocol="binary" if isBinary else "text",
        received=received,
        sent=sent,
        open=session.openReads,
        waits=waits,
        outstanding=sum(operation.count for operation, _ in connection.replies.queue),
    )
