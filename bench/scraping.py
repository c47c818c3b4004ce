"""Scraping: what it costs others that many queues are looked at.

Clients set and get, one command at a time each, for a turn with something beside it and
for one without, in turn; of each kind the median is told of what its turns had, since
something else may disturb some of them.  What is beside them, with ten thousand queues:
a scrape of ``/metrics``, which tells of so many queues together, one of
``/metrics/queues``, which tells of each, the watchers of bench.watchers, as many
viewers as there may be, of which one half reads nothing, and an export; and with a
hundred thousand the first list of them after a start, when no head was looked at yet.
`python -m bench.scraping` prints a table, in four minutes at most.

The export, the watchers and the viewers run on what is idle of the processors.
"""

from __future__ import annotations

import argparse
import os
import random
import select
import socket
import subprocess
import sys
from contextlib import contextmanager
from statistics import median
from time import monotonic, sleep
from typing import TYPE_CHECKING, NamedTuple

from bench import sections
from bench.measure import progress
from bench.processors import spent, used
from bench.tables import table
from bench.watchers import LIST, PATIENCE, Watchers
from bench.workspace import ROOT, workspace
from memq.web.live.ticks import QUEUES as VIEWED
from memq.web.live.viewers import MOST
from testkit.servers import Server
from testkit.waiters import percentile
from testkit.wire import sets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

#: Clients, and queues: of most cells, and of the first list.
_CLIENTS, _QUEUES, _VERY_MANY = 16, 10_000, 100_000
#: Seconds of a turn, of which a scrape takes the first part.
_TURN = 1.0
#: Turns of each kind that watchers, and an export, are beside; turns of a first list,
#: before each of which the server is started.
_LONG, _STARTS = 4, 3
#: The most that the p99 of others may be, of that without.
_GOAL = 1.1
_TEXT = f"""
## Beside looks at very many queues

{_CLIENTS} clients that set and get, a command at a time, on {_QUEUES:,} queues, by
`python -m bench.scraping`: what they wait for with something beside them and without.
`>` marks a p99 of more than {_GOAL} times.

"""


#: Reads some streams, all in one process.
_READ = """
import selectors, socket, sys
host, port, head, count = sys.argv[1:]
selector = selectors.DefaultSelector()
for _ in range(int(count)):
    viewer = socket.create_connection((host, int(port)))
    viewer.sendall(head.encode())
    selector.register(viewer, selectors.EVENT_READ)
while True:
    for key, _ in selector.select():
        if not key.fileobj.recv(1 << 20):
            selector.unregister(key.fileobj)
"""


class _Turn(NamedTuple):
    """What was seen in a turn: how long commands took, and what of a processor each."""

    took: list[float]
    cpu: float


class _Load:
    """Clients, each with a command under way."""

    def __init__(self, server: Server, queues: int) -> None:
        self._random = random.Random(1)
        self._poll = select.epoll()
        self._pid = server.pid
        self._queues = queues
        self._clients: dict[int, socket.socket] = {}
        self._sent: dict[int, float] = {}
        for _ in range(_CLIENTS):
            client = server.connect()
            self._clients[client.fileno()] = client
            self._poll.register(client, select.EPOLLIN)
            self._send(client.fileno())

    def _send(self, number: int) -> None:
        name = _name(self._random.randrange(self._queues))
        command = sets(name, b"x" * 100)
        if self._random.random() < 0.5:
            command = b"get %b\r\n" % name
        self._sent[number] = monotonic()
        self._clients[number].sendall(command)

    def run(self, place: str = "", path: str = "") -> _Turn:
        """Go on for a turn, or until a reply is there if that takes longer.

        :param place: where to begin with asking for a path; nowhere if it is empty.
        """
        took: list[float] = []
        scraper = self._scrape(place, path) if place else None
        isWaiting = scraper is not None
        before = used(self._pid)
        end = monotonic() + _TURN
        while (now := monotonic()) < end or isWaiting:
            for number, _ in self._poll.poll(max(0.001, end - now)):
                if scraper is not None and number == scraper.fileno():
                    if not scraper.recv(1 << 20):
                        self._poll.unregister(scraper)
                        isWaiting = False
                    continue
                # A reply is short, and comes whole on loopback.
                self._clients[number].recv(4096)
                took.append(monotonic() - self._sent[number])
                self._send(number)
        if scraper is not None:
            scraper.close()
        cpu = spent(before, used(self._pid)) / 1000 / len(took)
        return _Turn(took, cpu)

    def _scrape(self, place: str, path: str) -> socket.socket:
        """Ask for a path, in this thread: another one would cost the clients here."""
        host, _, port = place.rpartition(":")
        scraper = socket.create_connection((host, int(port)))
        head = f"GET {path} HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n"
        scraper.sendall(head.encode())
        self._poll.register(scraper, select.EPOLLIN)
        return scraper


class _Place(NamedTuple):
    """A server with queues, its load, and where its web is."""

    server: Server
    load: _Load
    web: str


def _name(number: int) -> bytes:
    return b"queue-%06d" % number


@contextmanager
def _started(home: Path, queues: int, *options: str) -> Iterator[_Place]:
    """Give a server with a message in each of so many queues."""
    isNew = not home.exists()
    server = Server(str(home), "--web-listen=127.0.0.1:0", *options)
    server.start()
    try:
        web = server.waitForLine("The web is on ").rpartition(" ")[2]
        for start in range(0, queues if isNew else 0, 500):
            names = map(_name, range(start, start + 500))
            lines = [sets(name, b"x" * 100) for name in names]
            server.talk(b"".join(lines) + b"quit\r\n")
        load = _Load(server, queues)
        load.run()
        yield _Place(server, load, web)
    finally:
        server.stop()


@contextmanager
def _watched(place: _Place, root: Path) -> Iterator[None]:
    at = f"127.0.0.1:{place.server.port}"
    watchers = Watchers(place.web, at, _name(0).decode())
    sleep(_TURN)
    try:
        yield
    finally:
        watchers.end()


@contextmanager
def _viewed(place: _Place, root: Path) -> Iterator[None]:
    """Hold as many streams as there may be, of which one half is not read."""
    host, _, port = place.web.rpartition(":")
    names = b",".join(map(_name, range(VIEWED))).decode()
    head = f"GET /api/v1/events?queues={names} HTTP/1.0\r\n\r\n"
    words = (sys.executable, "-c", _READ, host, port, head, str(MOST // 2))
    readers = subprocess.Popen(words, preexec_fn=_onlyIdle)
    stuck = [socket.socket() for _ in range(MOST // 2)]
    try:
        for viewer in stuck:
            viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            viewer.connect((host, int(port)))
            viewer.sendall(head.encode())
        sleep(_TURN)
        yield
    finally:
        for viewer in stuck:
            viewer.close()
        readers.terminate()
        readers.wait(PATIENCE)


@contextmanager
def _exporting(place: _Place, root: Path) -> Iterator[None]:
    """Export again and again."""
    memq = os.path.join(os.path.dirname(sys.executable), "memq")
    command = 'while "$0" export --home "$1" > /dev/null; do :; done'
    process = subprocess.Popen(
        ["sh", "-c", command, memq, place.server.home],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=_onlyIdle,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, 15)
        process.wait(PATIENCE)


def _onlyIdle() -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _cells(place: _Place, root: Path, rounds: int) -> Iterator[list[str]]:
    """Yield the rows of a server of ten thousand queues."""
    load = place.load
    for path in ("/metrics", "/metrics/queues"):
        pairs = []
        for number in range(rounds):
            progress(f"{path}, {number + 1} of {rounds}")
            pairs.append((load.run(), load.run(place.web, path)))
        yield _row(f"a scrape a second of {path}", pairs)
    longer: tuple[tuple[str, Callable[..., AbstractContextManager[None]]], ...] = (
        ("a scrape a second, ten viewers, `memq top`", _watched),
        (f"{MOST} viewers, of which {MOST // 2} read nothing", _viewed),
        ("an export", _exporting),
    )
    for title, beside in longer:
        pairs = []
        for number in range(max(1, rounds // _LONG)):
            progress(f"{title}, {number + 1}")
            alone = [load.run() for _ in range(_LONG)]
            with beside(place, root):
                pairs += [(each, load.run()) for each in alone]
        yield _row(title, pairs)


def _first(home: Path, *options: str) -> list[str]:
    """Return the row of the first list of very many queues."""
    pairs = []
    for number in range(_STARTS + 1):
        progress(f"first list, {number} of {_STARTS}")
        with _started(home, _VERY_MANY, *options) as place:
            if number:
                alone = place.load.run()
                pairs.append((alone, place.load.run(place.web, LIST)))
    return _row(f"the first list of {_VERY_MANY:,} queues", pairs)


def _row(title: str, pairs: list[tuple[_Turn, _Turn]]) -> list[str]:
    cells = [title]
    for share in (0.5, 0.99):
        times = [[percentile(one.took, share) for one in pair] for pair in pairs]
        cells += [f"{median(each):.2f}" for each in zip(*times, strict=True)]
    ratio = median(beside / alone for alone, beside in times)
    cells.append(f"{ratio:.2f}" + (" >" if ratio > _GOAL else ""))
    cells += [
        f"{median(one.cpu for one in each):.1f}" for each in zip(*pairs, strict=True)
    ]
    return cells


def main() -> None:
    """Measure memq both durable and not synced, and print what is found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    sections.addOption(parser)
    options = parser.parse_args()
    header = ["", "beside", "p50, ms", "with it", "p99, ms", "with it", "ratio"]
    header += ["us a command", "with it"]
    rows = []
    with workspace(ROOT / "var") as root:
        for title, words in (("durable", ()), ("not synced", ("--no-sync",))):
            home = root / title.replace(" ", "-")
            with _started(home, _QUEUES, *words) as place:
                rows += [[title, *row] for row in _cells(place, root, options.rounds)]
            many = root / f"{home.name}-many"
            rows.append([title, *_first(many, *words)])
    text = _TEXT + table(header, rows)
    sections.tell("bench.scraping", text, options.write)


if __name__ == "__main__":
    main()
