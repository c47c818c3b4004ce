"""Costs of a command in instructions and cache misses, by Python function.

`python -m bench.costs`, the last part of `make profile`, counts plain durable sets and
gets of bench/inprocess.py under callgrind, and prints the section of
docs/performance.md; with --write, it puts it there.  Rows of an older memq, which that
section may have, stay as they are.

The totals are counted as the process is.  For the functions, bench/frames.c divides
them, and a call then takes a longer way, partly in the function that calls and partly
in the one that is called: calls of a function that does nothing tell how much, and that
is taken off.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import sysconfig
from collections import Counter
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench import tables
from bench.measure import VERBS, progress
from bench.workspace import ROOT, build, workspace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: The counted shapes: clients, rounds, and how.
SHAPES = {
    "1 client": (1, 40, "warm"),
    "1 client, cold": (1, 40, "cold"),
    "50 clients": (50, 10, "warm"),
}
#: Rounds of a lone client that are divided by function.
DIVIDED = 40
#: Calls a round of a function that does nothing, and rounds.
CALLS, CALLED = 100, 10
#: The functions that the table shows, of the costliest.
SHOWN = 25
#: The versions that are counted: memq as it is, and with rights of a user.
NOW, USER = "now", "user"
#: Marks the section within docs/performance.md.
BEGIN, END = "<!-- begin: bench.costs -->\n", "<!-- end: bench.costs -->\n"
#: Caches that are simulated, whatever the processor has.
_CACHES = (
    "--cache-sim=yes",
    "--I1=32768,8,64",
    "--D1=32768,8,64",
    "--LL=8388608,16,64",
)


class Part(NamedTuple):
    """Events that callgrind counted up to a dump.

    :ivar name: the file and the function that ran; no file for the bench itself.
    :ivar isCalled: whether the part began with its call; it went on otherwise.
    """

    name: str
    isCalled: bool
    events: dict[str, int]


class Total(NamedTuple):
    """The cost of a command: instructions, and misses in the first and last cache."""

    instructions: float
    first: float
    last: float


class Function(NamedTuple):
    """A Python function: its calls a command, and its instructions."""

    calls: float
    instructions: float


class Overhead(NamedTuple):
    """Instructions that dividing costs, in the function called and in its caller."""

    called: float
    caller: float


class Costs(NamedTuple):
    """The costs of a verb: by shape, and of a lone client's command by function."""

    totals: dict[str, Total]
    functions: dict[str, Function]


def parts(said: str) -> list[Part]:
    """Return the parts of what callgrind wrote."""
    found = []
    for text in re.split(r"^part: \d+$", said, flags=re.MULTILINE)[1:]:
        name = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.MULTILINE)
        names = re.search(r"^events: (.*)$", text, re.MULTILINE)
        numbers = re.search(r"^totals: (.*)$", text, re.MULTILINE)
        if name and names and numbers:
            events = zip(names[1].split(), map(int, numbers[1].split()), strict=False)
            bare = name[1].removesuffix(" called")
            found.append(Part(bare, bare != name[1], dict(events)))
    return found


def total(found: Sequence[Part], commands: int) -> Total:
    """Return the cost of a command."""

    def each(*names: str) -> float:
        return sum(part.events.get(n, 0) for part in found for n in names) / commands

    return Total(each("Ir"), each("I1mr"), each("ILmr", "DLmr", "DLmw"))


def overhead(divided: Sequence[Part], plain: float) -> Overhead:
    """Return what dividing costs, from calls of a function that does nothing.

    :param plain: instructions of a call that is not divided.  Half of them are taken to
        be the caller's: there are so few that it matters little.
    """
    functions = divide(divided, 1, Overhead(0, 0))
    one, caller = (
        functions["inprocess.py: nothing"],
        functions["inprocess.py: _callNothing"],
    )
    calls = one.calls
    return Overhead(
        one.instructions / calls - plain / 2, caller.instructions / calls - plain / 2
    )


def divide(found: Sequence[Part], commands: int, less: Overhead) -> dict[str, Function]:
    """Return the functions, without what dividing costs; the costliest first."""
    calls: Counter[str] = Counter()
    costs: Counter[str] = Counter()
    for part in found:
        name = _label(part.name)
        calls[name] += part.isCalled
        costs[name] += part.events["Ir"]
        costs[name] -= round(less.called if part.isCalled else less.caller)
    return {
        name: Function(calls[name] / commands, cost / commands)
        for name, cost in costs.most_common()
    }


def _label(name: str) -> str:
    """Return the module within memq, or the file alone, and the function."""
    path, _, function = name.rpartition(":")
    if not path:
        return name
    _, within, module = path.rpartition("/memq/")
    return f"{module if within else Path(path).name}: {function}"


def costs(program: Sequence[str], root: Path, divides: bool = True) -> dict[str, Costs]:
    """Return the costs of a memq's commands, by verb.

    :param program: runs it, as bench.inprocess does.
    :param root: a directory for what is made.
    :param divides: whether they are told by function as well.
    """
    include = f"-I{sysconfig.get_path('include')}"
    library = build(root, "frames", "-shared", "-fPIC", include)

    def run(verb: str, clients: int, rounds: int, how: str) -> list[Part]:
        progress(f"{verb}, {clients} x {rounds}, {how}")
        return count([*program, verb, str(clients), str(rounds)], root, library, how)

    totals = {
        verb: {
            title: total(run(verb, *shape), shape[0] * shape[1])
            for title, shape in SHAPES.items()
        }
        for verb in VERBS
    }
    if not divides:
        return {verb: Costs(each, {}) for verb, each in totals.items()}
    plain = total(run("nothing", CALLS, CALLED, "warm"), CALLS * CALLED).instructions
    less = overhead(run("nothing", CALLS, CALLED, "divided"), plain)
    return {
        verb: Costs(each, divide(run(verb, 1, DIVIDED, "divided"), DIVIDED, less))
        for verb, each in totals.items()
    }


def count(program: list[str], root: Path, library: str, how: str) -> list[Part]:
    """Return what callgrind counts of a program."""
    with workspace(root) as home:
        output = home / "callgrind"
        tool = ["valgrind", "--tool=callgrind", "--quiet", "--instr-atstart=no"]
        tool += ["--combine-dumps=yes", f"--callgrind-out-file={output}"]
        if how != "divided":
            tool += _CACHES
        done = subprocess.run(
            [
                "env",
                "PYTHONHASHSEED=0",
                *tool,
                *program,
                str(home / "home"),
                library,
                how,
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=ROOT,
            timeout=600,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"bench: {done.stdout}{done.stderr}")
        return parts(output.read_text(encoding="utf-8", errors="replace"))


def section(found: Mapping[str, Costs], old: str = "", version: str = NOW) -> str:
    """Return the section of docs/performance.md.

    :param old: the section so far, whose rows of other versions stay.
    """
    said = [BEGIN + _INTRODUCTION]
    for verb, one in found.items():
        title = f"A {verb}:"
        rows = [
            [version, name, *map(_number, cost)] for name, cost in one.totals.items()
        ]
        heads = ["memq", "shape", "instructions", "I1 misses", "LL misses"]
        said += _table(title, heads, rows, old)
        title = f"A {verb} of a lone client, by function:"
        whole = one.totals["1 client"].instructions
        rows = []
        if one.functions:
            rows = [[version, *row] for row in _functions(one.functions, whole)]
        heads = ["memq", "function", "calls", "instructions"]
        said += _table(title, heads, rows, old)
    return "\n".join(said) + END


def _functions(found: dict[str, Function], whole: float) -> list[list[str]]:
    """Return rows that make the whole: the costliest functions, and the others."""
    rows = [
        [f"`{name}`", f"{calls:.1f}", _number(cost)]
        for name, (calls, cost) in list(found.items())[:SHOWN]
    ]
    others = list(found.values())[SHOWN:]
    calls = sum(one.calls for one in others)
    cost = sum(one.instructions for one in others)
    rows.append([f"{len(others)} other functions", f"{calls:.1f}", _number(cost)])
    rest = whole - sum(one.instructions for one in found.values())
    rows.append(["rest", "", f"{_number(rest)} ({100 * rest / whole:.1f} %)"])
    calls = sum(one.calls for one in found.values())
    rows.append(["all", f"{calls:.1f}", _number(whole)])
    return rows


def _table(
    title: str, heads: list[str], rows: list[list[str]], old: str
) -> tuple[str, str]:
    """Return a title and its table, with the rows that other versions have in it."""
    _, _, after = old.partition(f"{title}\n\n")
    lines = takewhile(lambda line: line.startswith("|"), after.splitlines())
    kept = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines][2:]
    new = {row[0] for row in rows}
    rows = [*(row for row in kept if row[0] not in new), *rows]
    return f"{title}\n", tables.table(heads, rows)


def _number(number: float) -> str:
    return f"{number:,.0f}"


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

Durable sets and gets of 100 bytes, a command at a time on each connection, counted by
callgrind. `python -m bench.costs` makes the rows of "now" anew, and `make bench` leaves
the section as it is. The server runs in the process that is counted, without
sockets, reactor, threads and timers, and flushes at once: so two runs differ by less
than 0.1 %. The kernel's part, which is most of a lone command's time, is not in it.

The caches are simulated: 32 KiB each for instructions (I1) and data, and a last level
(LL) in which all that memq needs has room. So a command has next to no LL misses, but
for the rows "cold", where the caches are empty before each command: there LL misses
are the lines of 64 bytes that it touches, code and data, which after a sync may have
to come from memory.

A function has what it does in C, Berkeley DB included, but not what it calls in
Python. Dividing by function makes each call longer; what that is for a function that
does nothing is taken off. The rest that this leaves is a row of its own: so a single
function is good to some hundred instructions. `inprocess.py` is the bench itself.

"User" is a connection whose listener is a user that has rights by patterns, which
`python -m bench.costs --user` counts.

"Before" is the commit a23a2a5. Its turns were calls of the reactor's, here of a clock
(`task.py`), and each flush gave a Deferred; now they come at the end of the sockets'
sweep, and a quick flush gives none.
"""


def main() -> None:
    """Count, and print or write what is found."""
    parser = argparse.ArgumentParser(prog="bench.costs")
    parser.add_argument("--write", action="store_true", help="into the page")
    parser.add_argument(
        "--user", action="store_true", help="of a user with rights, the totals"
    )
    options = parser.parse_args()
    program = [sys.executable, "-m", "bench.inprocess"]
    if options.user:
        program.append("--user")
    with workspace(ROOT / "var") as root:
        found = costs(program, root, divides=not options.user)
    path = ROOT / "docs" / "performance.md"
    page = path.read_text(encoding="utf-8")
    text = section(found, kept(page), USER if options.user else NOW)
    if options.write:
        path.write_text(put(page, text), encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
