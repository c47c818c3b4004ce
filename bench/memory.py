"""Memory that memq takes for a queue and for an idle connection."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from bench.measure import VERBS, Fact
from bench.servers import Server

if TYPE_CHECKING:
    from pathlib import Path
    from socket import socket

    from bench.measure import Load
    from bench.servers import Kind

_QUEUES, _IDLE = 10_000, 10_000


def memory(load: Load, kind: Kind, root: Path) -> list[Fact]:
    """Return what a queue and an idle connection take of a memq's memory."""
    server = Server(kind, root, ("--cache-size", "16"))
    try:
        server.start()
        # The cache has to be full before, or it would be counted as well.
        seen = [load.run(server, verb, n=200_000, s=200, d=16) for verb in VERBS]
        most = before = server.resident()
        for verb in VERBS:
            options = {"n": 10 * _QUEUES, "q": _QUEUES, "k": "queue"}
            seen.append(load.run(server, verb, **options))
            most = max(most, server.resident())
        queue = f"{(most - before) / _QUEUES / 1024:.2f} KB"
        if not all(result.good for result in seen):
            queue = "thrown away: wrong or empty replies"
        return [Fact("memory a queue", queue, "1.5 KB"), _connections(server)]
    finally:
        server.close()


def _connections(server: Server) -> Fact:
    before = server.resident()
    wires = _idle(server)
    connection = (server.resident() - before) / max(1, len(wires))
    for wire in wires:
        wire.close()
    what = f"memory an idle connection, with {len(wires):,} of them"
    return Fact(what, f"{connection / 1024:.1f} KB", "15 KB")


def _idle(server: Server) -> list[socket]:
    """Open connections, as many as the limit on files allows; each is answered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        wires = [server.connect() for _ in range(min(_IDLE, hard - 500))]
        for wire in wires:
            wire.sendall(b"version\r\n")
            wire.recv(100)
        return wires
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, len(wires) + 500), hard))
