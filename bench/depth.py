"""What is measured besides workloads: depth, memory, and what must not disturb.

A backlog grows step by step, on all servers, and at each step messages are set and
taken from every one of them in rounds.  A memq that stays empty goes along, so that
deep and empty are compared in the same rounds.
"""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from bench.measure import VERBS, progress
from bench.servers import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from socket import socket

    from bench.measure import Load, Results
    from bench.servers import Kind

#: Messages that wait, and their size in bytes.
DEPTHS = (0, 10_000, 100_000, 500_000, 1_000_000, 2_000_000)
SIZE = 200

#: The name of the memq that stays empty.
EMPTY = "empty memq"

_QUEUES, _IDLE = 10_000, 10_000


class Fact(NamedTuple):
    """Something that was measured once: what, the figure, and what it should be."""

    what: str
    figure: str
    goal: str


def runDepths(
    load: Load, servers: Sequence[tuple[str, Server]], rounds: int, results: Results
) -> None:
    """Measure pairs of set and get at each depth, on servers by name."""
    before = 0
    for depth in DEPTHS:
        for name, server in servers:
            if depth and name != EMPTY:
                fill = {"n": depth - before, "s": SIZE, "c": 50, "d": 16, "k": "deep"}
                filled = load.run(server, "set", **fill)
                progress(
                    f"{name}: {depth:,} wait, {filled.rate / 1000:.0f}k/s to there"
                )
                results.add(f"fill-{depth}", name, "set", 1, filled)
        before = depth
        for turn in range(rounds + 1):
            said = []
            for name, server in servers:
                pair = load.run(server, "pair", t=500, n=10**8, s=SIZE, k="deep")
                said.append(f"{name} {pair.rate / 1000:.1f}k")
                if turn:
                    results.add(f"depth-{depth}", name, "pair", turn, pair)
            progress(f"round {turn} of {rounds} depth-{depth:<10} {', '.join(said)}")


def disturb(load: Load, server: Server) -> list[Fact]:
    """Kill a memq with a backlog, delete the backlog, send the largest bodies."""
    facts = []
    server.stop(signal.SIGKILL)
    seconds = server.start()
    what = f"start after kill -9 with {DEPTHS[-1]:,} messages, until it answers"
    facts.append(Fact(what, f"{seconds:.1f} s", "5 s"))

    def nothing() -> str:
        time.sleep(3)
        return ""

    def delete() -> str:
        with server.connect() as wire:
            began = time.monotonic()
            wire.sendall(b"delete deep0\r\n")
            answer = wire.recv(100)
            took = time.monotonic() - began
        time.sleep(4)
        return f"{answer.decode().strip()} after {took * 1000:.1f} ms; "

    def largest() -> str:
        rates = [_large(server) for _ in range(2)]
        return f"64 MiB in {max(rates):.1f} s and out again; "

    for what, goal, act in (
        ("10 connections that set and get: their latency", "", nothing),
        (f"the same while {DEPTHS[-1]:,} messages are deleted", "p99 50 ms", delete),
        ("the same beside two bodies of 64 MiB", "p99 50 ms", largest),
    ):
        facts.append(_beside(load, server, what, goal, act))
    return facts


def memory(load: Load, kind: Kind, root: Path) -> list[Fact]:
    """Return what a queue and an idle connection take of a memq's memory."""
    server = Server(kind, root, ("--cache-size", "16"))
    try:
        server.start()
        # The cache has to be full before, or it would be counted as well.
        for mode in VERBS:
            load.run(server, mode, n=200_000, s=SIZE, d=16, k="warm")
        before = server.resident()
        most = before
        for mode in VERBS:
            load.run(server, mode, n=10 * _QUEUES, q=_QUEUES, k="queue")
            most = max(most, server.resident())
        queue = (most - before) / _QUEUES
        facts = [Fact("memory a queue", f"{queue / 1024:.2f} KB", "1.5 KB")]
        before = server.resident()
        wires = _idle(server)
        connection = (server.resident() - before) / max(1, len(wires))
        for wire in wires:
            wire.close()
        what = f"memory an idle connection, with {len(wires):,} of them"
        return [*facts, Fact(what, f"{connection / 1024:.1f} KB", "15 KB")]
    finally:
        server.close()


def _beside(
    load: Load, server: Server, what: str, goal: str, act: Callable[[], str]
) -> Fact:
    """Do something while a small load runs; return how long the load waited."""
    command = load.command(server, "pair", c=10, t=8000, n=10**8, k="beside")
    small = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    try:
        time.sleep(0.5)
        said = act()
        out, _ = small.communicate(timeout=120)
    finally:
        small.kill()
        small.wait()
    seen = json.loads(out or "{}")
    if not seen or seen["errors"] or seen["empties"]:
        return Fact(what, f"{said}thrown away: wrong or empty replies", goal)
    figures = ", ".join(
        f"{word} {seen[key] / 1000:.1f} ms"
        for word, key in (("p99", "p99"), ("p99.9", "p999"), ("longest", "max"))
    )
    progress(f"{what}: {said}{figures}")
    return Fact(what, said + figures, goal)


def _large(server: Server) -> float:
    """Set and get one body of 64 MiB; return the seconds that the set took."""
    body = bytes(64 << 20)
    with server.connect() as wire:
        began = time.monotonic()
        head = b"set large 0 0 %d\r\n" % len(body)
        sender = threading.Thread(target=wire.sendall, args=(head + body + b"\r\n",))
        sender.start()
        if _until(wire, 8) != b"STORED\r\n":
            raise RuntimeError("a body of 64 MiB was not stored")
        sender.join()
        took = time.monotonic() - began
        wire.sendall(b"get large\r\n")
        reply = b"VALUE large 0 %d\r\n" % len(body) + body + b"\r\nEND\r\n"
        if _until(wire, len(reply)) != reply:
            raise RuntimeError("a body of 64 MiB came back as another")
    return took


def _until(wire: socket, count: int) -> bytes:
    """Return so many bytes, or fewer if the other side is done before."""
    found = bytearray()
    while len(found) < count and (some := wire.recv(min(1 << 20, count - len(found)))):
        found += some
    return bytes(found)


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
