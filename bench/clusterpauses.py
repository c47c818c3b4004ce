"""Pauses over a cluster: how soon another front end holds to one, and to which ones.

`python -m bench.clusterpauses --cluster=--base=5740` starts two front ends over nodes
of tools/cluster.py.  One pauses a queue and lets it go on, again and again, while the
other one is asked all the time.  Then the other one is cut off, by a relay that carries
nothing any more, while the queue is paused, and is asked the moment it is back.  At
last all nodes are restarted: what is paused, what goes on and what is deleted stays so.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import threading
import time
from contextlib import suppress
from statistics import median
from typing import TYPE_CHECKING

from bench.clusterfaults import Front, Nodes

if TYPE_CHECKING:
    from collections.abc import Sequence

QUEUE = b"pauses"
#: Seconds that an answer may take, and until a front end is back.
PATIENCE, BACK = 10.0, 30.0


class Client:
    """A connection to a front end."""

    def __init__(self, front: Front) -> None:
        self._socket = socket.create_connection(("127.0.0.1", front.port), PATIENCE)
        self._file = self._socket.makefile("rb")

    def ask(self, line: bytes) -> bytes:
        """Return the first line of an answer, and read it to its end."""
        self._socket.sendall(line + b"\r\n")
        first = last = self._file.readline()
        if first.startswith(b"VALUE"):
            while last != b"END\r\n":
                last = self._file.readline()
        return first.strip()

    def set(self) -> bytes:
        """Set a message."""
        return self.ask(b"set %b 0 0 1\r\nx" % QUEUE)

    def until(self, line: bytes, *wanted: bytes) -> None:
        """Ask until one of some answers comes."""
        end = time.monotonic() + BACK
        while (answer := self.ask(line)) not in wanted:
            if time.monotonic() > end:
                raise SystemExit(f"{line!r} is answered {answer!r}")
            time.sleep(0.05)


class Relay:
    """Carries bytes between a front end and a node.

    :ivar port: where it listens.
    """

    def __init__(self, target: str) -> None:
        """Begin."""
        host, port = target.split(":")
        self._target = host, int(port)
        self._sockets: list[socket.socket] = []
        self._carries = threading.Event()
        self._carries.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            ends = [self._listener.accept()[0], socket.socket()]
            if not self._carries.is_set():
                ends[0].close()
                continue
            try:
                ends[1].connect(self._target)
            except OSError:
                ends[0].close()
                continue
            self._sockets += ends
            for one, other in (ends, ends[::-1]):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                carry = threading.Thread(
                    target=self._carry, args=(one, other), daemon=True
                )
                carry.start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                self._carries.wait()
                other.sendall(data)
        for each in one, other:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Carry nothing from now on."""
        self._carries.clear()

    def mend(self, loses: bool) -> None:
        """Carry again: what was kept, or (loses) on new connections only."""
        sockets, self._sockets = self._sockets, []
        for each in sockets if loses else ():
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        if not loses:
            self._sockets = sockets
        self._carries.set()


def delays(one: Client, other: Client, rounds: int) -> tuple[list[float], list[float]]:
    """Return how many ms after a pause began, and was told, it held elsewhere."""
    begun, told = [], []
    for _ in range(rounds):
        other.until(b"set %b 0 0 1\r\nx" % QUEUE, b"STORED")
        at: list[float] = []

        def _pause(at: list[float] = at) -> None:
            at.append(time.monotonic())
            if one.ask(b"pause %b writes" % QUEUE) != b"OK":
                raise SystemExit("no pause")
            at.append(time.monotonic())

        pausing = threading.Thread(target=_pause)
        pausing.start()
        while other.set() != b"NOT_STORED":
            pass
        held = time.monotonic()
        pausing.join()
        begun.append((held - at[0]) * 1000)
        told.append((held - at[1]) * 1000)
        one.ask(b"resume " + QUEUE)
    return begun, told


def cutOff(
    one: Client, other: Client, relays: Sequence[Relay], seconds: float, loses: bool
) -> str:
    """Return what the other one answers that was cut off during a pause."""
    other.until(b"set %b 0 0 1\r\nx" % QUEUE, b"STORED")
    for relay in relays:
        relay.cut()
    if one.ask(b"pause " + QUEUE) != b"OK":
        raise SystemExit("no pause")
    time.sleep(seconds)
    for relay in relays:
        relay.mend(loses)
    answers: list[bytes] = []
    end = time.monotonic() + BACK
    while time.monotonic() < end:
        answers += [other.ask(b"get " + QUEUE), other.set()]
        if answers[-1] == b"NOT_STORED":
            break
    one.ask(b"resume " + QUEUE)
    wrong = [each for each in answers if each[:5] in (b"VALUE", b"STORE")]
    words = sorted({each.decode() for each in answers})
    return f"{len(wrong)} wrong of {len(answers)}: {words}"


def restart(nodes: Nodes, one: Client, other: Client) -> dict[str, str]:
    """Return what is answered after a restart of all nodes."""
    for name in b"stopped", b"resumed", b"deleted":
        one.ask(b"delete " + name)
        one.until(b"set %b 0 0 1\r\nx" % name, b"STORED")
        one.until(b"pause " + name, b"OK")
    one.until(b"resume resumed", b"OK")
    one.until(b"delete deleted", b"DELETED")
    nodes.stop()
    # 3.10.8: nodes that start at the same time may be in each other's way.
    with suppress(subprocess.CalledProcessError):
        nodes.start()
    nodes.start()
    found = {}
    for name in b"stopped", b"resumed", b"deleted":
        wanted = b"STORED", b"NOT_STORED"
        other.until(b"set %b 0 0 1\r\nx" % name, *wanted)
        found[name.decode()] = other.ask(b"set %b 0 0 1\r\nx" % name).decode()
    return found


def main() -> None:
    """Run it, and print what is found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cluster", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--cuts", type=int, default=5)
    parser.add_argument("--restart", action="store_true")
    options = parser.parse_args()
    nodes = Nodes(options.cluster)
    nodes.start()
    scheme, _, rest = nodes.url.partition("@")
    places, _, name = rest.rpartition("/")
    relays = [Relay(place) for place in places.split(",")]
    relayed = ",".join(f"127.0.0.1:{each.port}" for each in relays)
    management = ",".join(
        f"http://{host}:{int(port) + 10000}"
        for host, port in (place.split(":") for place in places.split(","))
    )
    fronts = [
        Front(nodes.url),
        Front(f"{scheme}@{relayed}/{name}", "--rabbitmq-management", management),
    ]
    for front in fronts:
        front.start()
    try:
        one, other = map(Client, fronts)
        one.until(b"resume " + QUEUE, b"OK", b"NOT_FOUND")
        begun, told = delays(one, other, options.rounds)
        for what, some in ("from its beginning", begun), ("from its OK", told):
            figures = [round(each, 1) for each in (min(some), median(some), max(some))]
            print(f"a pause holds, ms {what} (least, median, most): {figures}")
        for seconds in (1.0, 4.0, 20.0)[: 3 if options.cuts else 0]:
            for loses in (False, True):
                for _ in range(options.cuts if seconds < 20 else 1):
                    found = cutOff(one, other, relays, seconds, loses)
                    print(f"cut off {seconds} s, connections lost: {loses}: {found}")
        if options.restart:
            print(json.dumps(restart(nodes, one, other)))
    finally:
        for front in fronts:
            front.stop()


if __name__ == "__main__":
    main()
