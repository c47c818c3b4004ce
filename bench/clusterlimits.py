"""What a front end takes for many reads that wait, and for many large bodies.

`python -m bench.clusterlimits --cluster=--base=5760` starts one over nodes of
tools/cluster.py.  Ten thousand reads wait on a thousand queues; each is served in its
turn.  Then 64 clients set a body of 16 MiB each, all at once, and read them all back;
each is looked at to its last byte.  Nodes are told meanwhile that they may have so much
memory that they never say that they have none.  `--write` puts it into docs/cluster.md.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import threading
import time
import urllib.request
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from bench import sections
from bench.clusterfaults import Front, Nodes
from bench.measure import progress
from bench.tables import table
from testkit.waiters import EVERYBODY, Waiters, openFiles, percentile
from testkit.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

NAME = "bench.clusterlimits"
MEGABYTE = 1 << 20

#: Reads that wait, their queues, and how often each queue is set a message.
WAITERS, QUEUES = 10_000, 1000
#: Messages that are set at once, and singly, and milliseconds in which nothing happens.
AT_ONCE, SINGLE, NOTHING = 100, 100, 10_000

#: Seconds that metrics may take, on nodes that are slow to tell of their queues.
SCRAPE = 30.0

#: On a busy machine a thousand reads that begin at once take longer than usual.
TIMEOUT = "--store-timeout=30"

#: Clients with a large body, its bytes, the queues, and seconds that all may take.
CLIENTS, SIZE, LARGE_QUEUES, PATIENCE = 64, 16 * MEGABYTE, 8, 540.0
#: Memory that nodes may have, and have again afterwards.
MUCH, USUAL = "6GB", "1GB"

#: What is found: what it is, and how much.
Facts = list[tuple[str, str]]


def waiting(front: Front) -> Facts:
    """Return what many reads that wait cost."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(WAITERS, openFiles(WAITERS + 500) - 500)
    before, began = front.residentNow(), time.monotonic()
    waiters = FrontWaiters(front, count, QUEUES)
    progress(f"{count:,} wait after {time.monotonic() - began:.0f} s")
    try:
        grown = front.residentNow() - before
        busy = waiters.busy(NOTHING)
        progress("nothing happens")
        rounds = [_round(waiters) for _ in range(count // QUEUES)]
        progress("all are served")
        single = [waiters.serve([each])[0] for each in waiters.queues[:SINGLE]]
        most, early, again = front.residentBytes(), waiters.early, waiters.again
    finally:
        waiters.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    served = sum(map(len, rounds))
    title = f"{count:,} reads wait on {QUEUES:,} queues"
    p50, p99 = (percentile(single, share) for share in (0.5, 0.99))
    return [
        (
            f"{title}: memory before, with them, at most",
            _megabytes(before, grown, most),
        ),
        ("of one of them, connection included", f"{grown / count / 1024:.1f} KB"),
        ("processor while nothing happens", f"{100 * busy:.1f} %"),
        (
            f"a message in each queue, {len(rounds)} times: served in their turn",
            f"{served - early:,} of {served:,}, {AT_ONCE} set at once within "
            f"{max(max(each) for each in rounds):.1f} s; {again} sets sent again",
        ),
        ("one message, set to its read", f"p50 {p50:.0f} ms, p99 {p99:.0f}"),
    ]


def _round(waiters: FrontWaiters) -> list[float]:
    """Set a message in each queue; return after how many seconds each was there."""
    queues, found = waiters.queues, list[float]()
    for at in range(0, len(queues), AT_ONCE):
        found += waiters.serve(queues[at : at + AT_ONCE])
    waiters.settle(EVERYBODY)
    return found


def _megabytes(before: int, grown: int, most: int) -> str:
    sizes = before, before + grown, most
    return ", ".join(f"{each / MEGABYTE:.0f}" for each in sizes) + " MB"


class FrontWaiters(Waiters):
    """Waiters that ask nothing of the nodes meanwhile.

    How many wait is in the front end's metrics; `stats` asks for all queues.

    :ivar again: how many sets were refused, and sent again.
    """

    def __init__(self, front: Front, count: int, queues: int) -> None:
        """Connect, and let all wait."""
        self._front, self.again = front, 0
        place = front.waitForLine("The web is on ").rpartition(" ")[2]
        self._metrics = f"http://{place}/metrics"
        super().__init__(front.connect, count, queues)

    def countWaiters(self, pattern: bytes) -> int:
        """Return how many wait for any queue."""
        with urllib.request.urlopen(self._metrics, timeout=SCRAPE) as answer:
            told = answer.read().decode()
        return int(re.findall(r"^memq_waiters (\d+)", told, re.M)[0])

    def settle(self, pattern: bytes) -> None:
        """Wait until all wait."""
        super().settle(EVERYBODY)

    def serve(self, queues: Sequence[bytes]) -> list[float]:
        """Set a message in each queue, again where none is stored."""
        began, left = perf_counter(), list(queues)
        while left:
            self.sendTo(left)
            told = dict(zip(left, self.told(len(left)), strict=True))
            left = [each for each in left if told[each].endswith(b"nothing is stored")]
            self.again += len(left)
        return self.gather(len(queues), began)

    def processorSeconds(self) -> float:
        """Return what the front end has used."""
        stat = Path(f"/proc/{self._front.pid}/stat").read_text(encoding="ascii")
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class Body(NamedTuple):
    """A large body, of which only a block is in memory."""

    number: int

    @property
    def block(self) -> bytes:
        """Return what it is made of, again and again."""
        return b"%07d\n" % self.number * (MEGABYTE // 8)

    def pieces(self) -> Iterator[bytes]:
        """Yield it."""
        block = self.block
        for _ in range(SIZE // MEGABYTE):
            yield block


class Account:
    """What clients with large bodies were told.

    :ivar stored: numbers of bodies that are stored for sure.
    :ivar given: those that came back whole, as often as they came.
    :ivar again: commands that were refused, and asked again.
    :ivar unsure: those of which nobody knows.
    :ivar wrong: what is wrong.
    """

    def __init__(self) -> None:
        self.stored: set[int] = set()
        self.given: list[int] = []
        self.again = self.unsure = 0
        self.wrong: list[str] = []
        self.end = time.monotonic() + PATIENCE


def _setOne(wire: Wire, account: Account, number: int) -> None:
    """Set a body, until it is stored."""
    while time.monotonic() < account.end:
        wire.send(b"set large%d 0 0 %d\r\n" % (number % LARGE_QUEUES, SIZE))
        for piece in Body(number).pieces():
            wire.send(piece)
        wire.send(b"\r\n")
        told = wire.line()
        if told == b"STORED":
            account.stored.add(number)
            return
        if b"nothing is stored" in told or told.startswith(b"NOT_STORED"):
            account.again += 1
        else:
            progress(told.decode())
            account.unsure += 1
            return
        time.sleep(0.2)


def _getOne(wire: Wire, account: Account, number: int) -> None:
    """Get a body, until there is one or all came back."""
    while time.monotonic() < account.end:
        told = wire.ask(b"get large%d" % (number % LARGE_QUEUES))
        if told.startswith(b"VALUE "):
            size = int(told.split()[3])
            first = wire.read(MEGABYTE)
            found = Body(int(first[:7]))
            isWhole = size == SIZE and first == found.block
            for _ in range(size // MEGABYTE - 1):
                isWhole &= wire.read(MEGABYTE) == found.block
            isWhole &= wire.read(2) == b"\r\n"
            if wire.line() == b"END" and isWhole:
                account.given.append(found.number)
            else:
                account.wrong.append(f"body {found.number} is not whole")
            return
        if told == b"END":
            return
        account.again += 1
        time.sleep(0.2)


def _all(front: Front, account: Account, act: Callable[..., None]) -> float:
    """Let all clients do it at once; return how many seconds that takes."""

    def client(number: int) -> None:
        try:
            with Wire(front.connect()) as wire:
                wire.socket.settimeout(PATIENCE)
                act(wire, account, number)
        except (OSError, ValueError) as error:
            account.wrong.append(f"client {number}: {error}")

    threads = [threading.Thread(target=client, args=[n]) for n in range(CLIENTS)]
    began = time.monotonic()
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return time.monotonic() - began


def large(front: Front, nodes: Nodes) -> Facts:
    """Return what becomes of many large bodies, and what they cost."""
    for number in nodes.numbers:
        nodes.run("ctl", str(number), *_memory(MUCH))
    before, account = front.residentNow(), Account()
    try:
        took = _all(front, account, _setOne)
        sets, most = account.again, front.residentBytes()
        progress(f"{len(account.stored)} are stored")
        back = _all(front, account, _getOne)
        for queue in range(LARGE_QUEUES):
            with front.wire() as wire:
                wire.ask(b"delete large%d" % queue)
    finally:
        for number in nodes.numbers:
            nodes.run("ctl", str(number), *_memory(USUAL))
    for each in account.wrong:
        progress(each)
    whole = len(set(account.given) & account.stored)
    peaks = most, front.residentBytes()
    return [
        (
            f"{CLIENTS} clients set {SIZE // MEGABYTE} MiB each at once: stored",
            f"{len(account.stored)} in {took:.0f} s; {sets} sets sent again, "
            f"{account.unsure} unsure",
        ),
        (
            "read back by as many at once: whole",
            f"{whole} in {back:.0f} s; {account.again - sets} gets asked again, "
            f"{len(account.given) - len(set(account.given))} twice, "
            f"{len(account.wrong)} wrong",
        ),
        (
            "memory before, at most while they were set, at most at all",
            ", ".join(f"{each / MEGABYTE:.0f}" for each in (before, *peaks)) + " MB",
        ),
    ]


def _memory(size: str) -> tuple[str, str, str]:
    return "set_vm_memory_high_watermark", "absolute", size


def section(facts: Facts, nodes: str, options: str) -> str:
    """Return what was found, for the page."""
    words = f"""\
One front end, and three nodes of {nodes}, on one machine of two processors that had
other work. Large bodies with `{options}`.
`python -m bench.clusterlimits --write` measures it.

"""
    return words + table(["what", "found"], [list(each) for each in facts])


def main() -> None:
    """Run it, and print or write what is found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["waiting", "large"])
    parser.add_argument("--cluster", action="append", default=[])
    parser.add_argument("--log", type=Path, help="where the front ends' logs go")
    sections.addOption(parser, sections.CLUSTER)
    options = parser.parse_args()
    nodes = Nodes(options.cluster)
    nodes.start()
    facts: Facts = []
    shape = "--max-body=16M", "--max-buffered=256M"
    many = f"--max-connections={WAITERS + 100}", "--web-listen=127.0.0.1:0"
    for name, words in ("waiting", many), ("large", shape):
        if name in options.what:
            front = Front(nodes.url, TIMEOUT, *words)
            front.start()
            try:
                facts += waiting(front) if name == "waiting" else large(front, nodes)
            finally:
                front.stop()
                if options.log:
                    options.log.write_text("\n".join(front.log) + "\n")
    text = section(facts, nodes.describe(), " ".join((*shape, TIMEOUT)))
    sections.tell(NAME, text, options.write, sections.CLUSTER)


if __name__ == "__main__":
    main()
