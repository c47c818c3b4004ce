"""Compaction: whether a drained queue gives its disk space back.

The home is looked at until it has shrunk enough, or for a bounded time, while the
small load goes on.  Log files count: a disk does not ask what it is full of.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.beside import SMALL, small, waits
from bench.measure import VERBS, Fact, progress
from bench.servers import Server

if TYPE_CHECKING:
    from bench.measure import Load
    from bench.servers import Kind

#: Messages, and their size in bytes.
MESSAGES, SIZE = 500_000, 200

#: The part of the full size that may be left, and the seconds until then.
SHARE, PATIENCE = 0.25, 30.0

#: Seconds that the small load runs on when that is reached.
AFTER = 3.0


class Room(NamedTuple):
    """Bytes on the disk: of all files, and of the log files among them."""

    all: int
    logs: int

    def __str__(self) -> str:
        """Return both in words."""
        return f"{self.all / 1e6:.0f} MB, {self.logs / 1e6:.0f} MB of it logs"


def givenBack(load: Load, kind: Kind, root: Path) -> list[Fact]:
    """Fill a memq, take all out, and watch its files shrink."""
    what = f"{kind.disk}: room for {MESSAGES:,} messages of {SIZE} bytes"
    server = Server(kind, root)
    options = {"n": MESSAGES, "s": SIZE, "d": 16, "k": "space"}
    seen = []
    try:
        server.start()
        for verb in VERBS:
            seen.append(load.run(server, verb, **options))
            if verb == "set":
                # All is in its place on the disk, and no log is kept for nothing.
                server.ask(b"db_checkpoint\r\n")
                full = room(server)
        drained = room(server)
        if not all(result.good for result in seen):
            return [Fact(what, "thrown away: wrong or empty replies", "")]
        return _watched(load, server, what, full, drained)
    finally:
        server.close()


def room(server: Server) -> Room:
    """Return what the files of a memq take on the disk."""
    everything = logs = 0
    for path in Path(server.home, "memq").iterdir():
        try:
            size = path.stat().st_blocks * 512
        except FileNotFoundError:
            continue  # a log file that was removed meanwhile
        everything += size
        logs += size if path.name.startswith("log.") else 0
    return Room(everything, logs)


def _watched(
    load: Load, server: Server, what: str, full: Room, drained: Room
) -> list[Fact]:
    """Wait with the small load until enough is given back."""
    enough = full.all * SHARE
    with small(load, server) as running:
        began = time.monotonic()
        took: float | None = None
        until = began + PATIENCE
        while (at := time.monotonic()) < until:
            if took is None and room(server).all < enough:
                took = at - began
                until = at + AFTER
            time.sleep(0.1)
        left = room(server)
        seen = running.end()
    if took is None:
        when = f"{PATIENCE:.0f} s later, not given back"
        end = f"{left}; {_asked(server)} after db_checkpoint and db_archive"
    else:
        when, end = f"given back after {took:.1f} s", str(left)
    progress(f"{what}: {full}; {drained}; {when}: {end}; {waits(seen)}")
    goal = f"{enough / 1e6:.0f} MB in {PATIENCE:.0f} s"
    return [
        Fact(what, str(full), ""),
        Fact("the same when all were taken", str(drained), ""),
        Fact(when, end, goal),
        Fact(f"{SMALL} meanwhile: their latency", waits(seen), "p99 20 ms"),
    ]


def _asked(server: Server) -> Room:
    """Ask for what a client can ask for; return what is left."""
    for command in (b"db_checkpoint\r\n", b"db_archive\r\n"):
        server.ask(command)
    return room(server)
