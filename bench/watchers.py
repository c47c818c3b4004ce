"""Watchers: those who look at a server while others use it.

A scraper asks for /metrics each second; each of ten viewers of the page holds a stream
of events, of one queue, and asks for the first queues of the list each second, as the
page does; `memq top` runs on a terminal.  All are in one process beside the bench:
``python -m bench.watchers HOST:PORT SERVER QUEUE``, which goes on until its standard
input ends, and then prints how often each was told what in a second, as JSON.

They run only on processors that nobody else wants (SCHED_IDLE), as though they were on
a machine of their own: what they cost others is what the server does for them.  Where
they find too little of that, they were not told as often as they wanted, and the
measurement is none.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections import Counter
from http.client import HTTPConnection
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable

#: Viewers of the page, and seconds between two looks of anybody.
VIEWERS, EVERY = 10, 1.0
#: What a viewer of the page has in view.
LIST = "/api/v1/queues?sort=messages&order=desc&limit=100"
#: What they are told, and how many are told each second.
KINDS = {"scrapes": 1, "lists": VIEWERS, "ticks": VIEWERS, "screens": 1}
#: Of what they want, what they have to be told at least.
ENOUGH = 0.95
#: Seconds that a reply, or an end, may take.
PATIENCE = 30.0


class Crowd:
    """All who look, each in a thread of its own.

    :ivar counts: how often they were told something, by its kind.
    """

    def __init__(self, place: str, server: str, queue: str) -> None:
        """Name the addresses of the web and of the server, and a queue."""
        self._place = place
        self._server = server
        self._queue = queue
        self._isOver = Event()
        self._lock = Lock()
        self.counts: Counter[str] = Counter(dict.fromkeys(KINDS, 0))

    def start(self) -> None:
        """Begin to look."""
        calls: list[Callable[[], None]] = [self._scrape, self._top]
        calls += [self._list, self._follow] * VIEWERS
        for call in calls:
            Thread(target=call, daemon=True).start()

    def end(self) -> None:
        """Look no more."""
        self._isOver.set()

    def _told(self, kind: str) -> None:
        with self._lock:
            self.counts[kind] += 1

    def _ask(self, path: str, kind: str) -> None:
        """Ask for a page each second, as a client that keeps its connection."""
        connection = HTTPConnection(self._place, timeout=PATIENCE)
        due = time.monotonic()
        while not self._isOver.wait(max(0.0, due - time.monotonic())):
            due += EVERY
            connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
            reply = connection.getresponse()
            if reply.read() and reply.status == 200:
                self._told(kind)

    def _scrape(self) -> None:
        self._ask("/metrics", "scrapes")

    def _list(self) -> None:
        self._ask(LIST, "lists")

    def _follow(self) -> None:
        """Read events."""
        connection = HTTPConnection(self._place, timeout=PATIENCE)
        connection.request("GET", f"/api/v1/events?queues={quote(self._queue)}")
        reply = connection.getresponse()
        while not self._isOver.is_set() and (line := reply.readline()):
            if line == b"event: tick\n":
                self._told("ticks")

    def _top(self) -> None:
        """Read a terminal on which `memq top` is."""
        terminal, screen = pty.openpty()
        program = os.path.join(os.path.dirname(sys.executable), "memq")
        process = subprocess.Popen(
            [program, "top", "--server", self._server],
            stdin=screen,
            stdout=screen,
            stderr=screen,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
            start_new_session=True,
        )
        os.close(screen)
        try:
            while not self._isOver.is_set() and os.read(terminal, 1 << 16):
                self._told("screens")
        finally:
            process.terminate()


class Watchers:
    """The process of a crowd, started and ended by the bench."""

    def __init__(self, place: str, server: str, queue: str) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.watchers", place, server, queue],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def end(self) -> dict[str, float]:
        """End it; return how often each was told what in a second."""
        try:
            told, _ = self._process.communicate(timeout=PATIENCE)
        finally:
            self._process.kill()
        return dict(json.loads(told))


def main(place: str, server: str, queue: str) -> None:
    """Look until standard input ends, and print what there was."""
    # Threads and children inherit it.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    crowd = Crowd(place, server, queue)
    began = time.monotonic()
    crowd.start()
    sys.stdin.read()
    seconds = time.monotonic() - began
    crowd.end()
    told = {name: crowd.counts[name] / KINDS[name] / seconds for name in KINDS}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
