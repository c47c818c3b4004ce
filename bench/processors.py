"""Processors: the time that a server takes, and those that a lone client runs on.

The time comes from Linux's scheduler, in nanoseconds, and counts all threads of a
process.  It is steadier than a rate, which also depends on how fast a sleeping
processor wakes.

A lone client and its server take turns, so their rate depends on where they run.  On
one processor there is nothing to wake; on two, each one sleeps while the other works.
Left alone, the scheduler may do either.  So both are pinned.
"""

from __future__ import annotations

import contextlib
import os
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Placement(Enum):
    """Where the load generator and the server run."""

    FREE = "where the scheduler puts them"
    APART = "the client on the last processor, the server on the others"
    TOGETHER = "client and server on one processor"


def canPin() -> bool:
    """Return whether there is more than one processor to run on."""
    return len(os.sched_getaffinity(0)) > 1


def used(pid: int) -> dict[int, int]:
    """Return the nanoseconds that each thread of a process has run.

    It is empty where Linux does not count them.
    """
    found = {}
    for thread in _threads(pid):
        # A thread may end meanwhile.
        with contextlib.suppress(OSError):
            path = Path(f"/proc/{pid}/task/{thread}/schedstat")
            found[thread] = int(path.read_text(encoding="ascii").split()[0])
    return found


def spent(before: dict[int, int], after: dict[int, int]) -> int:
    """Return the nanoseconds between two looks, of the threads that are there still."""
    return sum(ran - before.get(thread, 0) for thread, ran in after.items())


@contextlib.contextmanager
def placed(pid: int, placement: Placement) -> Iterator[None]:
    """Pin a server, and what this process starts meanwhile; nothing with one processor.

    :param pid: the process of the server.
    """
    if placement is Placement.FREE or not canPin():
        yield
        return
    every = os.sched_getaffinity(0)
    last = {max(every)}
    _pin(pid, last if placement is Placement.TOGETHER else every - last)
    os.sched_setaffinity(0, last)
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)
        _pin(pid, every)


def _pin(pid: int, processors: set[int]) -> None:
    for thread in _threads(pid):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(thread, processors)


def _threads(pid: int) -> list[int]:
    return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
