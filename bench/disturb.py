"""Disturbances that clients must not feel: a kill, a long delete, huge bodies."""

from __future__ import annotations

import signal
import time
from statistics import median
from typing import TYPE_CHECKING

from bench.beside import SMALL, beside
from bench.depth import DEPTHS
from bench.measure import VERBS, Fact
from bench.servers import Server

if TYPE_CHECKING:
    from pathlib import Path

    from bench.measure import Load, Result
    from bench.servers import Kind

#: Seconds that each thing goes on, and seconds that a removal may take.
SECONDS, PATIENCE = 6.0, 30.0

#: Bytes of the largest body, how many are sent and taken in turns, and how many of
#: them at the same time.
LARGEST, BODIES, AT_ONCE = 64 << 20, 4, 2

_GOAL = "p99 50 ms"


def deletion(load: Load, server: Server) -> list[Fact]:
    """Kill a memq with the deepest backlog, start it again, delete the backlog."""
    server.stop(signal.SIGKILL)
    seconds = server.start()
    what = f"start after kill -9 with {DEPTHS[-1]:,} messages, until it answers"
    facts = [Fact(what, f"{seconds:.1f} s", "5 s")]
    what = f"{SMALL} while {DEPTHS[-1]:,} messages are deleted: their latency"
    return [*facts, beside(load, server, what, _GOAL, lambda: _delete(server))]


def largest(load: Load, kind: Kind, root: Path) -> list[Fact]:
    """Set and get bodies of 64 MiB for some seconds, beside the small load."""
    server = Server(kind, root)
    what = f"{kind.disk}: {SMALL}: their latency"
    try:
        server.start()
        return [
            beside(load, server, what, "", _nothing),
            beside(
                load,
                server,
                f"the same beside bodies of 64 MiB, {AT_ONCE} at once, all the time",
                _GOAL,
                lambda: _bodies(load, server),
            ),
        ]
    finally:
        server.close()


def _nothing() -> str:
    time.sleep(SECONDS / 2)
    return ""


def _delete(server: Server) -> str:
    """Delete the backlog; wait until its messages are removed as well."""
    with server.connect() as wire:
        began = time.monotonic()
        wire.sendall(b"delete deep0\r\n")
        answer = wire.recv(100).decode().strip()
        took = time.monotonic() - began
    said = f"{answer} after {took * 1000:.1f} ms, "
    while server.stats().get("queues_being_removed") != "0":
        if time.monotonic() - began > PATIENCE:
            return f"{said}not all removed after {PATIENCE:.0f} s; "
        time.sleep(0.1)
    return f"{said}all removed after {time.monotonic() - began:.1f} s; "


def _bodies(load: Load, server: Server) -> str:
    """Send and take the largest bodies in turns; return how fast that went."""
    seen: dict[str, list[Result]] = {verb: [] for verb in VERBS}
    began = time.monotonic()
    while time.monotonic() - began < SECONDS:
        for verb in VERBS:
            options = {"n": BODIES, "c": AT_ONCE, "s": LARGEST, "k": "large"}
            seen[verb].append(load.run(server, verb, **options))
            if not seen[verb][-1].good:
                return "bodies thrown away: wrong or empty replies; "
    rates = (median(r.rate * LARGEST / 1e6 for r in seen[verb]) for verb in VERBS)
    return "set {:.0f} MB/s, get {:.0f} MB/s; ".format(*rates)
