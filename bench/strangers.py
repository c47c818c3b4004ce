"""Strangers: what very many clients that do not come in cost those that are there.

Ten thousand handshakes of TLS that stop in the middle, and as many logins that fail, in
text and by SASL, against tokens and against a password that scrypt has made; and those
that are slow, or stop in the middle.  Meanwhile ten connections of a listener that asks
nothing set and get, a command every 5 ms each, and an honest client comes in by TLS
with a token, again and again.  ``python -m bench.strangers`` prints a table.
"""

from __future__ import annotations

import argparse
import ssl
import time
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import TYPE_CHECKING, NamedTuple

from bench import sections
from bench.beside import small
from bench.measure import Load, progress
from bench.processors import spent, used
from bench.secured import issue
from bench.tables import table
from bench.workspace import ROOT, build, workspace
from testkit.servers import Server
from testkit.strangers import (
    TOKEN,
    Flood,
    Ports,
    configuration,
    enter,
    hello,
    inPacket,
    inText,
    portsOf,
)
from testkit.waiters import openFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: Clients that come in one go, seconds between two honest ones, and seconds that others
#: are measured alone.
STEP, PAUSE, ALONE = 20, 0.2, 5.0
#: Seconds after which an attack is over, however many have come or are still there.
LONGEST = 30.0
MEGABYTE = 1024 * 1024

_TEXT = """
## Beside clients that do not come in

Ten thousand tries of each kind, by `python -m bench.strangers`: what ten connections
of another listener wait for, and an honest client that comes in by TLS with a token;
the processor and the memory that the server takes.

"""


class Attack(NamedTuple):
    """An attack.

    :ivar entrance: where it comes, a field of Ports.
    :ivar pieces: what each client says.
    :ivar each: how many tries each client has.
    """

    title: str
    entrance: str
    pieces: Callable[[int], Sequence[bytes]]
    each: int = 1


def attacks() -> Iterator[Attack]:
    """Yield them all."""
    first = hello()
    yield Attack("handshakes, half done", "secured", lambda number: [first])
    yield Attack(
        "handshakes, cut somewhere",
        "secured",
        lambda number: [first[: number % len(first)]],
    )
    yield Attack("no TLS at all", "secured", lambda number: [b"get q\r\n"])
    yield Attack(
        "logins in text, a token",
        "asks",
        lambda number: [inText(b"shop", b"%d" % number)] * 3,
        3,
    )
    yield Attack(
        "logins by SASL, a token",
        "asks",
        lambda number: [inPacket(b"shop", b"%d" % number)] * 3,
        3,
    )
    yield Attack(
        "logins in text, a password",
        "asks",
        lambda number: [inText(b"ops", b"%d" % number)] * 3,
        3,
    )
    yield Attack(
        "logins, half said",
        "asks",
        lambda number: [b"set auth 0 0 16000\r\nshop " + b"x" * (number % 9000)],
    )


class Honest:
    """A client that comes in again and again.

    :ivar took: the seconds that each time took.
    :ivar failed: how often it did not come in.
    """

    def __init__(self, port: int, certificate: str) -> None:
        """Begin."""
        self.took: list[float] = []
        self.failed = 0
        self._port = port
        self._context = ssl.create_default_context(cafile=certificate)
        self._isOver = Event()
        self._thread = Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._isOver.wait(PAUSE):
            began = time.monotonic()
            try:
                told = enter(self._port, self._context, inText(b"shop", TOKEN))
            except OSError:
                told = b""
            if told.endswith(b"END\r\n"):
                self.took.append(time.monotonic() - began)
            else:
                self.failed += 1

    def end(self) -> None:
        """Come no more."""
        self._isOver.set()
        self._thread.join()


class _Protocol(NamedTuple):
    protocol: str
    title: str


class _Free(NamedTuple):
    """The listener that asks nothing, as a load wants it."""

    port: int
    kind: _Protocol = _Protocol("memcache", "memq")


def measure(attack: Attack, count: int, root: Path, load: Load) -> list[str]:
    """Return the row of an attack on a new server."""
    directory = root / attack.title.replace(" ", "-").replace(",", "")
    directory.mkdir()
    certificate, key = str(root / "certificate.pem"), str(root / "key.pem")
    where = configuration(str(directory), certificate, key)
    server = Server(str(directory / "home"), "--no-sync", "--config", where)
    server.start()
    try:
        ports = portsOf(server)
        return _row(attack, count, server, ports, certificate, load)
    finally:
        server.stop()


def _row(
    attack: Attack,
    count: int,
    server: Server,
    ports: Ports,
    certificate: str,
    load: Load,
) -> list[str]:
    free: object = _Free(ports.free)
    with small(load, free) as running:  # type: ignore[arg-type]
        time.sleep(ALONE)
        alone = running.end()
    Path(f"/proc/{server.pid}/clear_refs").write_text("5", encoding="ascii")
    resident, before = server.residentNow(), used(server.pid)
    flood = Flood(getattr(ports, attack.entrance), count // attack.each, attack.pieces)
    honest = Honest(ports.secured, certificate)
    with small(load, free) as running:  # type: ignore[arg-type]
        began = time.monotonic()
        while not flood.isOver and time.monotonic() - began < LONGEST:
            flood.goOn(STEP, 0.001)
        seconds = time.monotonic() - began
        beside = running.end()
    honest.end()
    cpu = spent(before, used(server.pid)) / 1e9 / seconds
    growth = (server.residentBytes() - resident) / MEGABYTE
    flood.close()
    tries = flood.begun * attack.each
    progress(f"{attack.title}: {tries} in {seconds:.1f} s")
    return [
        attack.title,
        f"{tries:,}",
        f"{tries / seconds:,.0f}",
        *(f"{one.p99 / 1000:.1f}" for one in (alone, beside)),
        f"{beside.max / 1000:.0f}",
        f"{1000 * median(honest.took or [0]):.0f}",
        f"{1000 * max(honest.took, default=0):.0f}",
        f"{honest.failed} of {honest.failed + len(honest.took)}",
        f"{100 * cpu:.0f}",
        f"{growth:.0f}",
    ]


def main() -> None:
    """Measure all, and print what is found."""
    parser = argparse.ArgumentParser(prog="bench.strangers")
    parser.add_argument("--count", type=int, default=10_000, help="tries of each")
    sections.addOption(parser)
    options = parser.parse_args()
    openFiles(4096)
    header = ["attack", "tries", "a second", "p99 of others alone, ms", "beside it"]
    header += ["longest", "honest one in, ms", "longest", "not in"]
    header += ["% of a processor", "MB more"]
    with workspace(ROOT / "var") as root:
        load = Load(build(root))
        issue(str(root / "certificate.pem"), str(root / "key.pem"))
        rows = [measure(attack, options.count, root, load) for attack in attacks()]
    sections.tell("bench.strangers", _TEXT + table(header, rows), options.write)


if __name__ == "__main__":
    main()
