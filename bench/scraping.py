"""Scraping: what a scrape a second costs others, with ten thousand queues.

Clients set and get, one command at a time each, for a second with a scrape in it and
for one without, in turn; of each kind the median is told of what its seconds had, since
something else may disturb some of them.  `python -m bench.scraping` prints what is
found, for ``/metrics``, which tells of so many queues together, and for
``/metrics/queues``, which tells of each.
"""

from __future__ import annotations

import argparse
import random
import select
import socket
from statistics import median
from time import monotonic
from typing import TYPE_CHECKING

from bench.measure import progress
from bench.workspace import ROOT, workspace
from testkit.servers import Server
from testkit.waiters import percentile
from testkit.wire import sets

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Clients, and queues.
_CLIENTS, _QUEUES = 16, 10_000
#: Seconds of a turn, of which a scrape takes the first part.
_TURN = 1.0

_NAMES = [b"queue-%05d" % number for number in range(_QUEUES)]


class _Load:
    """Clients, each with a command under way."""

    def __init__(self, server: Server) -> None:
        self._random = random.Random(1)
        self._poll = select.epoll()
        self._clients: dict[int, socket.socket] = {}
        self._sent: dict[int, float] = {}
        for _ in range(_CLIENTS):
            client = server.connect()
            self._clients[client.fileno()] = client
            self._poll.register(client, select.EPOLLIN)
            self._send(client.fileno())

    def _send(self, number: int) -> None:
        name = self._random.choice(_NAMES)
        command = sets(name, b"x" * 100)
        if self._random.random() < 0.5:
            command = b"get %b\r\n" % name
        self._sent[number] = monotonic()
        self._clients[number].sendall(command)

    def run(self, place: str = "", path: str = "") -> list[float]:
        """Go on for a second; return how long each command took.

        :param place: where to begin with a scrape; nowhere if it is empty.
        """
        took: list[float] = []
        scraper = self._scrape(place, path) if place else None
        end = monotonic() + _TURN
        while (now := monotonic()) < end:
            for number, _ in self._poll.poll(end - now):
                if scraper is not None and number == scraper.fileno():
                    if not scraper.recv(1 << 20):
                        self._poll.unregister(scraper)
                    continue
                # A reply is short, and comes whole on loopback.
                self._clients[number].recv(4096)
                took.append(monotonic() - self._sent[number])
                self._send(number)
        if scraper is not None:
            scraper.close()
        return took

    def _scrape(self, place: str, path: str) -> socket.socket:
        """Ask for metrics, in this thread: another one would cost the clients here."""
        host, _, port = place.rpartition(":")
        scraper = socket.create_connection((host, int(port)))
        head = f"GET {path} HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n"
        scraper.sendall(head.encode())
        self._poll.register(scraper, select.EPOLLIN)
        return scraper


def _measured(load: _Load, place: str, path: str, rounds: int) -> Iterator[str]:
    """Yield how long commands took without scrapes, and with one a second."""
    without: list[list[float]] = []
    beside: list[list[float]] = []
    for number in range(rounds):
        progress(f"scraping {path}, {number + 1} of {rounds}")
        without.append(load.run())
        beside.append(load.run(place, path))
    for share in (0.5, 0.99):
        plain, scraped = (
            median(percentile(took, share) for took in turns)
            for turns in (without, beside)
        )
        yield f"p{100 * share:g} {plain:.2f} ms, with scrapes {scraped:.2f}"


def main() -> None:
    """Measure memq both durable and not synced, and print what is found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    with workspace(ROOT / "var") as root:
        for options in ((), ("--no-sync",)):
            home = root / "-".join(["scraping", *options])
            server = Server(str(home), "--web-listen=127.0.0.1:0", *options)
            server.start()
            try:
                place = server.waitForLine("The web is on ").rpartition(" ")[2]
                for start in range(0, _QUEUES, 500):
                    lines = [sets(name, b"x" * 100) for name in _NAMES[start:][:500]]
                    server.talk(b"".join(lines) + b"quit\r\n")
                load = _Load(server)
                load.run()
                for path in ("/metrics", "/metrics/queues"):
                    words = "; ".join(_measured(load, place, path, rounds))
                    print(f"memq {' '.join(options)} {path}: {words}")
            finally:
                server.stop()


if __name__ == "__main__":
    main()
