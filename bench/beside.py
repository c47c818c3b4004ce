"""Loads that run at the same time: a small one, and another beside it.

The small load has ten connections that set and get in turns, each with a command
due every 5 ms.  Commands that fall due while a reply is late count as waiting for it,
so a stall is seen by all that it would have held up.
"""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING

from bench.measure import FAILED, PATIENCE, Fact, Result, progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.measure import Load
    from bench.servers import Server

#: Connections of the small load, and microseconds from a command to the next.
CONNECTIONS, PACE = 10, 5000

#: It, in words.
SMALL = f"{CONNECTIONS} connections that set and get"

#: Seconds that a load runs before anything else begins beside it.
AHEAD = 0.5


class Running:
    """A load that runs until it is told to end; one that fails is a wrong reply."""

    def __init__(self, command: Sequence[str]) -> None:
        """Take its command line."""
        self._command = command
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Running:
        """Start it."""
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        time.sleep(AHEAD)
        return self

    def __exit__(self, *_: object) -> None:
        """See that it is gone."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def end(self) -> Result:
        """Let it finish what is under way; return what it saw."""
        assert self._process is not None
        self._process.terminate()
        try:
            said, _ = self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            said = ""
        return Result(**json.loads(said)) if said else FAILED


def small(load: Load, server: Server) -> Running:
    """Return the small load on a server, to be started with ``with``."""
    options = {"c": CONNECTIONS, "w": PACE, "n": 10**8, "k": "small"}
    return Running(load.command(server, "pair", **options))


def beside(
    load: Load, server: Server, what: str, goal: str, act: Callable[[], str]
) -> Fact:
    """Do something while the small load runs; return how long that waited.

    :param act: does it, and returns what is to be said before the figures.
    """
    with small(load, server) as running:
        said = act()
        seen = running.end()
    progress(f"{what}: {said}{waits(seen)}")
    return Fact(what, said + waits(seen), goal)


def waits(seen: Result) -> str:
    """Return how long a load waited, in words."""
    if not seen.good:
        return "thrown away: wrong or empty replies"
    figures = (("p99", seen.p99), ("p99.9", seen.p999), ("longest", seen.max))
    return ", ".join(f"{word} {us / 1000:.1f} ms" for word, us in figures)
