"""Costs of a command in instructions and cache misses, by Python function.

`python -m bench.costs` counts plain sets and gets under callgrind, which simulates the
caches as cachegrind does, and prints the section of docs/performance.md; with --write,
it puts it there.  `--before DIRECTORY` counts another checkout of memq as well.

- The totals are of the process as it is, all of its threads, without the kernel.
- The table is of the reactor's thread, divided by bench/frames.c.  A function has all
  that it does in C, Berkeley DB included, but not what it calls in Python.  A call
  takes a longer way then: what that makes more is taken off, the same for each call.

Flushes are made to stay in the reactor's thread: under callgrind, all would be slow.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench import tables
from bench.measure import VERBS, progress
from bench.servers import Kind, Server, memqCommand
from bench.workspace import ROOT, build, workspace

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

#: Commands that come before those that are counted, and the rounds of these.
WARM, ROUNDS = 30, {1: 40, 50: 4}
#: Rounds that are divided by function.
DIVIDED = 12
#: The functions that the table shows, of the costliest.
SHOWN = 45
#: Marks the section within docs/performance.md.
BEGIN, END = "<!-- begin: bench.costs -->\n", "<!-- end: bench.costs -->\n"

_BODY = b"x" * 100
_REQUESTS = {"set": b"set q 0 0 100\r\n" + _BODY + b"\r\n", "get": b"get q\r\n"}
_REPLIES = {"set": 8, "get": len(b"VALUE q 0 100\r\n") + 100 + len(b"\r\nEND\r\n")}

#: Runs twistd; a module that this memq does not have, another one has.
_START = """
import ctypes, sys
from importlib import import_module
ctypes.PyDLL(sys.argv[1]).install(int(sys.argv[2]))
sys.argv[:] = sys.argv[3:]
for name in "memq.daemon.flusher", "memq.service":
    try:
        import_module(name).QUICK_FLUSH = 60
    except ImportError:
        pass
from twisted.scripts.twistd import run
run()
"""


class Cost(NamedTuple):
    """The cost of a command, or of a function in it.

    :ivar instructions: all that were executed.
    :ivar first: instructions that were not in the first cache, I1.
    :ivar last: those that were not in the last one either, LL.
    :ivar firstData: reads and writes of data that were not in the first one, D1.
    :ivar lastData: those that were not in the last one either.
    """

    instructions: float = 0
    first: float = 0
    last: float = 0
    firstData: float = 0
    lastData: float = 0

    def plus(self, other: Cost, share: float = 1) -> Cost:
        """Return the sum with a share of another one."""
        return Cost(*(a + share * b for a, b in zip(self, other, strict=True)))


class Function(NamedTuple):
    """A Python function: its calls a command, and its cost."""

    calls: float
    cost: Cost


class Costs(NamedTuple):
    """The costs of one verb, alone and with 50 clients; the functions are of a lone."""

    alone: Cost
    many: Cost
    functions: dict[str, Function]


class Callgrind:
    """Counts what a memq does, under callgrind."""

    def __init__(self, checkout: Path, root: Path, library: str, divides: bool) -> None:
        """Start a server of a checkout; its files go below a directory."""
        self._output = root / "callgrind"
        for old in root.glob("callgrind*"):
            old.unlink()
        tool = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet"]
        tool += ["--cache-sim=yes", "--combine-dumps=yes"]
        tool += [f"--callgrind-out-file={self._output}"]
        tool = ["env", f"PYTHONPATH={checkout}", "PYTHONHASHSEED=0", *tool]
        tool += [sys.executable, "-c", _START, library, str(int(divides))]
        kind = Kind("memq", "", True, "memcache", _command(tool))
        self._server = Server(kind, root)
        self._server.start()

    def close(self) -> None:
        """End the server."""
        self._server.close()

    def count(self, verb: str, clients: int, rounds: int) -> list[str]:
        """Return what callgrind wrote while each of the clients sent a command a round.

        The server is stopped while they send, so that all have sent when it looks.
        """
        with ExitStack() as stack:
            wires = [
                stack.enter_context(self._server.connect()) for _ in range(clients)
            ]
            for _ in range(WARM + rounds if verb == "get" else 0):
                self._round(wires, "set")
            for _ in range(WARM):
                self._round(wires, verb)
            self._begin()
            for _ in range(rounds):
                self._round(wires, verb)
            self._end()
        return self._written()

    def _round(self, wires: list[socket.socket], verb: str) -> None:
        self._signal(signal.SIGSTOP)
        for wire in wires:
            wire.sendall(_REQUESTS[verb])
        self._signal(signal.SIGCONT)
        for wire in wires:
            said = b""
            while len(said) < _REPLIES[verb]:
                some = wire.recv(1 << 16)
                said += some
                if not some or not said.startswith((b"STORED", b"VALUE")):
                    raise SystemExit(f"bench: a wrong reply: {said!r}")

    def _begin(self) -> None:
        # The last reply left before the turn was over.
        time.sleep(0.05)
        self._signal(signal.SIGUSR2)
        self._control("-i", "on")

    def _end(self) -> None:
        time.sleep(0.05)
        # Before the end, which forgets what was not dumped.
        self._control("-d")
        self._signal(signal.SIGUSR2)
        self._control("-i", "off")

    def _control(self, *words: str) -> None:
        subprocess.run(
            ["callgrind_control", *words, str(self._server.pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=True,
        )

    def _signal(self, number: signal.Signals) -> None:
        os.kill(self._server.pid, number)

    def _written(self) -> list[str]:
        """Return the parts that were written since the last call."""
        said = ""
        for path in self._output.parent.glob(f"{self._output.name}*"):
            said += path.read_text(encoding="utf-8", errors="replace")
            path.write_text("")
        return re.split(r"^part: \d+$", said, flags=re.MULTILINE)[1:]


def _command(tool: list[str]) -> Callable[[int, str], list[str]]:
    def command(port: int, home: str) -> list[str]:
        return [*tool, *memqCommand(port, home)]

    return command


def total(parts: list[str], commands: int) -> Cost:
    """Return the cost of a command, from all parts."""
    cost = Cost()
    for part in parts:
        cost = cost.plus(_costOf(part))
    return Cost().plus(cost, 1 / commands)


def divide(parts: list[str], commands: int, whole: Cost) -> dict[str, Function]:
    """Return the functions, so that their instructions are the whole."""
    costs: dict[str, Cost] = {}
    calls: Counter[str] = Counter()
    for part in parts:
        found = re.search(r"^desc: Trigger: Client Request: (.*)$", part, re.MULTILINE)
        name = found[1] if found else "the call under way"
        bare = name.removesuffix(" called")
        calls[bare] += name != bare
        costs[bare] = costs.get(bare, Cost()).plus(_costOf(part))
    much = sum(cost.instructions for cost in costs.values()) - whole[0] * commands
    each = much / sum(calls.values())
    functions = {}
    for name, cost in costs.items():
        less = cost._replace(instructions=cost.instructions - each * calls[name])
        functions[_label(name)] = Function(
            calls[name] / commands, Cost().plus(less, 1 / commands)
        )
    return functions


def _costOf(part: str) -> Cost:
    events = re.search(r"^events: (.*)$", part, re.MULTILINE)
    totals = re.search(r"^(?:totals|summary): (.*)$", part, re.MULTILINE)
    if not events or not totals:
        return Cost()
    numbers = map(int, totals[1].split())
    # Costs that callgrind puts off to the next part can make one less than nothing.
    signed = (n - (1 << 64) if n >> 63 else n for n in numbers)
    named = dict(zip(events[1].split(), signed, strict=False))

    def sums(*names: str) -> int:
        return sum(named.get(name, 0) for name in names)

    first, last = sums("I1mr"), sums("ILmr")
    return Cost(sums("Ir"), first, last, sums("D1mr", "D1mw"), sums("DLmr", "DLmw"))


def _label(name: str) -> str:
    path, _, function = name.rpartition(":")
    return f"{Path(path).parent.name}/{Path(path).name}: {function}" if path else name


def costs(checkout: Path, root: Path, library: str) -> dict[str, Costs]:
    """Return the costs of a checkout's commands, by verb."""
    found: dict[str, Costs] = {}
    for verb in VERBS:
        progress(f"{verb}s of {checkout.name}")
        whole: dict[int, Cost] = {}
        with closing(Callgrind(checkout, root, library, False)) as counter:
            for clients, rounds in ROUNDS.items():
                parts = counter.count(verb, clients, rounds)
                whole[clients] = total(parts, clients * rounds)
        with closing(Callgrind(checkout, root, library, True)) as counter:
            parts = counter.count(verb, 1, DIVIDED)
        found[verb] = Costs(whole[1], whole[50], divide(parts, DIVIDED, whole[1]))
    return found


def section(versions: dict[str, dict[str, Costs]]) -> str:
    """Return the section of docs/performance.md."""
    parts = [BEGIN + _INTRODUCTION]
    rows = []
    for verb in VERBS:
        for name, found in versions.items():
            alone, many, _ = found[verb]
            for title, cost in (("1 client", alone), ("50 clients", many)):
                numbers = [f"{number:,.0f}" for number in cost]
                rows.append([f"{verb}, {title}", name, *numbers])
    rows.sort(key=lambda row: row[0], reverse=True)
    heads = ["a command", "memq", "instructions", "I1 misses", "LL, instructions"]
    parts.append(tables.table([*heads, "D1 misses", "LL, data"], rows))
    for verb in VERBS:
        parts.append(f"A {verb} of a lone client, function by function:\n")
        parts.append(_functions({name: each[verb] for name, each in versions.items()}))
    return "\n".join(parts) + END


def _functions(versions: dict[str, Costs]) -> str:
    """Return the costliest functions of a verb, in the order of the last version."""
    last = list(versions.values())[-1].functions
    # A function that is not called for each is a timer's.
    names = [name for name in last if last[name].calls > 0.9]
    names.sort(key=lambda name: -last[name].cost.instructions)
    names = names[:SHOWN]
    heads = [f"{each} {v}" for v in versions for each in ("calls", "instr.", "I1")]
    rows = []
    for name in names:
        row = [f"`{name}`"]
        for found in versions.values():
            one = found.functions.get(name)
            row += (
                [f"{one.calls:.1f}", f"{one.cost[0]:,.0f}", f"{one.cost[1]:.0f}"]
                if one
                else ["", "", ""]
            )
        rows.append(row)
    every = ["all Python functions"]
    for found in versions.values():
        cost = Cost()
        for one in found.functions.values():
            cost = cost.plus(one.cost)
        calls = sum(one.calls for one in found.functions.values())
        every += [f"{calls:.1f}", f"{cost[0]:,.0f}", f"{cost[1]:.0f}"]
    return tables.table(["function", *heads], [*rows, every])


def kept(page: str) -> str:
    """Return the section that stands on a page, or nothing."""
    found = re.search(re.escape(BEGIN) + ".*?" + re.escape(END), page, re.DOTALL)
    return found[0] if found else ""


def put(page: str, text: str) -> str:
    """Return a page with the section, in its old place or else at the end."""
    old = kept(page)
    return page.replace(old, text) if old else f"{page.rstrip()}\n\n{text}"


_INTRODUCTION = """\
## Where a command's time goes

Durable sets and gets of 100 bytes, counted under callgrind, without the kernel.
`python -m bench.costs --write` writes this section, and `make bench` leaves it as it
is. The caches are simulated, as cachegrind does: they stay warm from one command to the
next, which after a sync they do not, so a lone command's misses are those of its first
touch at most. Flushes are made to stay in the reactor's thread.

A function has what it does in C, Berkeley DB included, but not what it calls in
Python. bench/frames.c tells callgrind which one runs, by a frame evaluation function;
the longer way that a call takes then is taken off, the same for each call. So a single
function is good to some hundred instructions.
"""


def main() -> None:
    """Count, and print or write what is found."""
    parser = argparse.ArgumentParser(prog="bench.costs")
    parser.add_argument("--before", type=Path, help="another checkout of memq")
    parser.add_argument("--write", action="store_true", help="into the page")
    options = parser.parse_args()
    checkouts = {"now": ROOT}
    if options.before:
        checkouts = {"before": options.before.resolve(), "now": ROOT}
    with workspace(ROOT / "var") as root:
        include = f"-I{sysconfig.get_path('include')}"
        library = build(root, "frames", "-shared", "-fPIC", include)
        found = {name: costs(path, root, library) for name, path in checkouts.items()}
    text = section(found)
    if not options.write:
        print(text)
        return
    page = ROOT / "docs" / "performance.md"
    page.write_text(put(page.read_text(encoding="utf-8"), text), encoding="utf-8")


if __name__ == "__main__":
    main()
