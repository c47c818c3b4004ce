"""Tunnels: memq's own TLS beside stunnel4 in front of memq.

The load speaks plain text to a stunnel4 of its own, which makes TLS of it, to memq or
to another stunnel4 that hands on what it decrypts; and to memq without any TLS.  What
is told is the processor time on the server's side, memq and its stunnel4 together, and
the rate, which wants a machine that has processors for all of them.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bench.measure import VERBS, progress
from bench.processors import spent, used
from bench.servers import freePort
from bench.tables import table
from testkit.servers import PATIENCE, Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.measure import Load

#: Connections, and sets outstanding of each; milliseconds of sets, and rounds.
SHAPES = ((50, 1), (50, 16))
MILLISECONDS, ROUNDS = 1500, 4
WAYS = ("plain", "TLS of memq", "stunnel4 before memq")

_TABLES = """
[[listen]]
address = "tcp:0:interface=127.0.0.1"
auth = "none"
tls = true
[tls]
certificate = "{certificate}"
key = "{key}"
"""


class _Kind(NamedTuple):
    title: str
    protocol: str = "memcache"


class _End(NamedTuple):
    """Where the load connects, and whose processor time counts."""

    kind: _Kind
    port: int
    pid: int
    pids: tuple[int, ...]


class _Cost(NamedTuple):
    """What a command took: microseconds of memq, and of memq and its stunnel4."""

    rate: float
    memq: float
    both: float


def tunnels(load: Load, root: Path, certificate: str, key: str) -> str:
    """Return the table of what is measured; words where stunnel4 is not installed."""
    if not shutil.which("stunnel4"):
        return "stunnel4 is not installed: nothing is compared with it.\n"
    header = ["", "connections", "", "", "a second", "us of memq", "with stunnel4"]
    rows = []
    for title, options in (("durable", ()), ("not synced", ("--no-sync",))):
        home = root / title.replace(" ", "-")
        home.mkdir()
        with _ends(home, certificate, key, *options) as ends:
            for connections, outstanding in SHAPES:
                shape = f"{connections} x {outstanding}"
                progress(f"{title}, {shape}")
                rounds = [
                    [_measured(load, end, connections, outstanding) for end in ends]
                    for _ in range(ROUNDS)
                ]
                for way, found in zip(WAYS, zip(*rounds, strict=True), strict=True):
                    for verb, costs in zip(
                        VERBS, zip(*found, strict=True), strict=True
                    ):
                        rate, memq, both = map(median, zip(*costs, strict=True))
                        row = [title, shape, way, verb]
                        rows.append(
                            [*row, f"{rate:,.0f}", f"{memq:.1f}", f"{both:.1f}"]
                        )
    return table(header, rows)


def _measured(load: Load, end: _End, connections: int, outstanding: int) -> list[_Cost]:
    """Return what a set and a get cost."""
    shared = {"c": connections, "d": outstanding, "s": 100, "k": "tunnel-"}
    costs, count = [], 3_000_000
    for verb, limits in zip(VERBS, ({"t": MILLISECONDS}, {}), strict=True):
        before = [used(pid) for pid in end.pids]
        server: object = end
        done = load.run(server, verb, n=count, **limits, **shared)  # type: ignore[arg-type]
        after = [used(pid) for pid in end.pids]
        count = done.operations
        took = sum(map(spent, before, after)) / 1000 / max(1, count)
        costs.append(_Cost(done.rate, done.cpu, took))
    return costs


@contextmanager
def _ends(
    home: Path, certificate: str, key: str, *options: str
) -> Iterator[list[_End]]:
    """Give the three ways to a server, in the order of WAYS."""
    where = home / "memq.toml"
    where.write_text(_TABLES.format(certificate=certificate, key=key))
    server = Server(str(home / "home"), "--config", str(where), *options)
    with ExitStack() as stack:
        server.start()
        stack.callback(server.stop)
        listening = "Listening on 127.0.0.1:"
        secured = int(server.waitForLine(listening, 2).rpartition(":")[2])
        files = f"cert = {certificate}\nkey = {key}\n"
        ports = [freePort() for _ in range(3)]
        pids = [
            stack.enter_context(
                _stunnel(home / f"tunnel-{accept}", accept, connect, more)
            )
            for accept, connect, more in (
                (ports[0], server.port, files),
                (ports[1], secured, "client = yes\n"),
                (ports[2], ports[0], "client = yes\n"),
            )
        ]
        own = (server.pid,)
        yield [
            _End(_Kind(WAYS[0]), server.port, server.pid, own),
            _End(_Kind(WAYS[1]), ports[1], server.pid, own),
            _End(_Kind(WAYS[2]), ports[2], server.pid, (*own, pids[0])),
        ]


@contextmanager
def _stunnel(path: Path, accept: int, connect: int, more: str) -> Iterator[int]:
    """Run a stunnel4 between two ports; give its process."""
    service = f"[one]\naccept = 127.0.0.1:{accept}\nconnect = 127.0.0.1:{connect}\n"
    path.write_text(f"foreground = yes\npid =\n{service}{more}")
    process = subprocess.Popen(
        ["stunnel4", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _await(accept)
        yield process.pid
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _await(port: int) -> None:
    """Wait until somebody listens."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"nobody listens on {port}")
