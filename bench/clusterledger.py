"""A ledger of what clients are told over a cluster: with faults.

`python -m bench.clusterledger --fault leader` starts two front ends over the nodes that
`make cluster` has started, and clients at both: producers, and readers with plain gets,
with open and close, and with close/open, each way on a queue of its own.  Something
happens to the cluster meanwhile, and is put right.  Then the queues are emptied, and
each account is judged, see bench.clusteraccount.

Every round is a line of JSON in a file.  `--write` makes a table of them all in
docs/cluster.md; a round that is not as promised is told there, too.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.clusteraccount import CHAIN, CLOSE, PLAIN, WAYS, Account, Bounds, judge
from bench.clusterclients import Client, Producer, Pulse, readerOf
from bench.clusterfaults import FAULTS, Fault, Front, Nodes, Scene
from bench.clustersoak import memory
from bench.clustersoak import told as toldOfMemory
from bench.workspace import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PAGE = ROOT / "docs" / "cluster.md"
BEGIN, END = "<!-- begin: ledger -->\n", "<!-- end: ledger -->\n"
#: Front ends; producers and readers of each queue.
FRONTS, PRODUCERS, READERS = 2, 4, 5
#: Seconds that a command may take, and how much later its answer may come.
TIMEOUT, GRACE = 5.0, 1.0
#: Seconds until the queues are there, of load before and after a fault, until it goes
#: on by itself, and until the queues are empty.
MAKING, BEFORE, AFTER, BACK, DRAIN = 30.0, 3.0, 3.0, 60.0, 60.0
#: Seconds in which nothing comes any more, although something is missing.
QUIET = 15.0


class Lane(NamedTuple):
    """A queue, its account and its clients."""

    queue: bytes
    account: Account
    producers: list[Client]
    readers: list[Client]


class Round:
    """A round: the load, a fault, and what is judged in the end.

    :ivar lanes: one for each of WAYS.
    """

    def __init__(self, nodes: Nodes, fronts: list[Front], stamp: str) -> None:
        """Prepare it.

        :param stamp: what its queues are called by.
        """
        self._nodes, self._fronts = nodes, fronts
        self.lanes = [self._lane(way, stamp) for way in WAYS]
        self._wrong: list[str] = []

    def _lane(self, way: str, stamp: str) -> Lane:
        queue = f"ledger-{stamp}-{way.replace('/', '-')}".encode()
        account = Account(way)
        turns = [self._fronts[turn:] + self._fronts[:turn] for turn in range(FRONTS)]
        connects = [[front.connect for front in turn] for turn in turns]
        return Lane(
            queue,
            account,
            [Producer(connects[n % FRONTS], queue, account) for n in range(PRODUCERS)],
            [
                readerOf(way)(connects[n % FRONTS], queue, account)
                for n in range(READERS)
            ],
        )

    def play(self, fault: Fault, number: int) -> list[str]:
        """Do it all; return what was wrong, in words."""
        for lane in self.lanes:
            self._make(lane)
        for lane in self.lanes:
            for client in lane.producers + lane.readers:
                client.start()
        pulse = Pulse()
        pulse.start()
        time.sleep(BEFORE)
        queues = [lane.queue for lane in self.lanes]
        scene = Scene(self._nodes, self._fronts, queues, number)
        fault.play(scene)
        self._await("went on", self._wentOn(time.monotonic()), BACK)
        time.sleep(AFTER)
        _end(client for lane in self.lanes for client in lane.producers)
        self._drain()
        _end(client for lane in self.lanes for client in lane.readers)
        pulse.stop()
        clients = FRONTS * (PRODUCERS + READERS)
        bounds = Bounds(
            # No answer is faster than the machine.
            TIMEOUT + GRACE + pulse.longest,
            unanswered=clients if fault.breaks else 0,
            again=READERS * fault.kills,
        )
        for lane in self.lanes:
            self._wrong += judge(lane.account, bounds)
        return self._wrong

    def _make(self, lane: Lane) -> None:
        """Make a queue, by a message that is not in the ledger."""
        end = time.monotonic() + MAKING
        told = b""
        while time.monotonic() < end and told != b"STORED":
            with self._fronts[0].wire() as wire:
                told = wire.ask(b"set %b 0 0 1\r\n0" % lane.queue)
                if told == b"STORED":
                    assert wire.take(lane.queue) == b"0"
        if told != b"STORED":
            raise SystemExit(f"a queue cannot be made: {told.decode()}")

    def _wentOn(self, moment: float) -> Any:
        return lambda: all(lane.account.succeededSince(moment) for lane in self.lanes)

    def _await(self, words: str, isSo: Any, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not isSo():
            if time.monotonic() > end:
                self._wrong.append(f"not {words} within {seconds:g} s")
                return
            time.sleep(0.05)

    def _drain(self) -> None:
        """Wait until nothing is left that a reader can take, for a while at most."""
        end = time.monotonic() + DRAIN
        left, since = -1, time.monotonic()
        while time.monotonic() < end:
            missing = sum(len(lane.account.missing) for lane in self.lanes)
            if missing != left:
                left, since = missing, time.monotonic()
            # What comes twice may still come when all have come once.
            if time.monotonic() - since > (QUIET if missing else 2.0):
                break
            time.sleep(0.1)
        for lane in self.lanes:
            if not self._isEmpty(lane.queue):
                self._wrong.append(f"{lane.queue.decode()} cannot be emptied")

    def _isEmpty(self, queue: bytes) -> bool:
        for front in self._fronts:
            with front.wire() as wire:
                wire.socket.settimeout(TIMEOUT + GRACE)
                wire.send(b"get %b/open\r\n" % queue)
                if wire.line() == b"END":
                    return True
        return False


def _end(clients: Iterable[Client]) -> None:
    stopped = list(clients)
    for client in stopped:
        client.stop()
    for client in stopped:
        client.join(2 * TIMEOUT)


def tidy(front: Front, lanes: Sequence[Lane]) -> None:
    """Delete the queues of a round."""
    with front.wire() as wire:
        for lane in lanes:
            wire.ask(b"delete %b" % lane.queue)


def told(
    nodes: str, fault: str, lanes: Sequence[Lane], wrong: list[str]
) -> dict[str, Any]:
    """Return a round as it is kept.

    :param nodes: what they are.
    """
    figures = {lane.account.way: lane.account.figures()._asdict() for lane in lanes}
    return {"nodes": nodes, "fault": fault, "wrong": wrong, "ways": figures}


def line(kept: dict[str, Any]) -> str:
    """Return a round in a few lines."""
    lines = [
        f"{kept['fault']}: {'NOT AS PROMISED' if kept['wrong'] else 'as promised'}"
    ]
    for way, each in kept["ways"].items():
        lines.append(
            f"    {way}: {each['sent']:,} sent, {each['stored']:,} stored, "
            f"{each['unsure']} unsure, {each['refused']:,} refused, "
            f"{each['given']:,} given out, {each['lost']} lost ({each['errors']} reads "
            f"failed), {each['twice']} twice, {each['unanswered']} without an answer, "
            f"latest answer {each['latest']:.2f} s, without success "
            f"{each['pause']:.2f} s"
        )
    return "\n".join([*lines, *(f"    {words}" for words in kept["wrong"])])


COLUMNS = (
    "fault",
    "rounds",
    "stored",
    "given out",
    "lost: get (reads that failed), close, close/open",
    "twice: get, close, close/open",
    "sets refused, unsure",
    "latest answer",
    "longest without success",
)
HEAD = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n"


def table(rounds: Iterable[dict[str, Any]]) -> str:
    """Return the tables of some rounds, one for all on the same kind of nodes."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for each in rounds:
        kinds.setdefault(each["nodes"], []).append(each)
    return "\n".join(
        f"On {nodes}:\n\n{HEAD}{_rows(kinds[nodes])}{_exceptions(kinds[nodes])}"
        f"{toldOfMemory(kinds[nodes])}"
        for nodes in sorted(kinds, reverse=True)
    )


def _rows(rounds: list[dict[str, Any]]) -> str:
    """Return a row for each fault."""
    rows = []
    for name, fault in FAULTS.items():
        mine = [each["ways"] for each in rounds if each["fault"] == name]
        if mine:
            rows.append(f"| {' | '.join([fault.title, *_cells(mine)])} |\n")
    return "".join(rows)


def _cells(rounds: list[dict[str, Any]]) -> list[str]:
    def total(key: str, *ways: str) -> str:
        return f"{sum(each[way][key] for each in rounds for way in ways or WAYS):,}"

    def most(key: str) -> str:
        return f"{max(each[way][key] for each in rounds for way in WAYS):.1f} s"

    lost = f"{total('lost', PLAIN)} ({total('errors', PLAIN)})"
    return [
        *(str(len(rounds)), total("stored"), total("given")),
        f"{lost}, {total('lost', CLOSE)}, {total('lost', CHAIN)}",
        ", ".join(total("twice", way) for way in WAYS),
        f"{total('refused')}, {total('unsure')}",
        *(most("latest"), most("pause")),
    ]


def _exceptions(rounds: list[dict[str, Any]]) -> str:
    lines = [
        f"- {FAULTS[each['fault']].title}: {words}\n"
        for each in rounds
        for words in each["wrong"]
    ]
    told = "\nRounds in which something was not as promised:\n\n"
    return told + "".join(lines) if lines else ""


def put(page: str, text: str) -> str:
    """Return the page with another table between its comments."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end, "the page has no place for the ledger"
    return f"{before}{begin}{text}{end}{after}"


def parsed() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--fault", choices=FAULTS, nargs="*", default=[], help="what happens")
    add("--rounds", type=int, default=1, help="of each: 1")
    add("--first", type=int, default=0, help="number of the first round: 0")
    add("--base", type=int, default=5680, help="of tools/cluster.py; so the next four")
    add("--root", help="another Debian")
    add("--net", help="networks of their own")
    add("--khepri", action="store_true", help="RabbitMQ 4: by consensus")
    add("--set", action="append", default=[])
    add("--kept", type=Path, default=ROOT / "var" / "clusterledger.jsonl")
    add("--stop", action="store_true", help="stop the nodes in the end")
    add("--write", action="store_true", help="all that is kept, into docs/cluster.md")
    return parser.parse_args()


def nodesOf(options: argparse.Namespace) -> Nodes:
    """Return the nodes that the command line says."""
    words = ["--base", str(options.base)]
    for name in ("root", "net"):
        if getattr(options, name):
            words += [f"--{name}", getattr(options, name)]
    for each in options.set:
        words += ["--set", each]
    return Nodes(words, ["--khepri"] if options.khepri else [])


def begin(nodes: Nodes) -> list[Front]:
    """Return front ends, started."""
    fronts = [Front(nodes.url, f"--store-timeout={TIMEOUT:g}") for _ in range(FRONTS)]
    for front in fronts:
        front.start()
    return fronts


def playRound(
    nodes: Nodes, fronts: list[Front], name: str, number: int
) -> dict[str, Any]:
    """Play a round of a fault, and return what is kept of it."""
    played = Round(nodes, fronts, f"{time.time():.0f}")
    wrong = played.play(FAULTS[name], number)
    kept = told(nodes.describe(), name, played.lanes, wrong)
    if not wrong:
        tidy(fronts[0], played.lanes)
    return {**kept, "at": time.time(), "memory": memory(fronts)}


def main() -> int:
    """Do what the command line says; the status is 1 if a promise is not kept."""
    options = parsed()
    isWrong = False
    nodes = nodesOf(options)
    if options.fault:
        nodes.start()
        fronts = begin(nodes)
        try:
            for number in range(options.first, options.first + options.rounds):
                for name in options.fault:
                    kept = playRound(nodes, fronts, name, number)
                    isWrong |= bool(kept["wrong"])
                    print(line(kept), flush=True)
                    with options.kept.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(kept) + "\n")
        finally:
            for each, front in enumerate(fronts):
                front.stop()
                log = options.kept.with_name(f"clusterledger-front{each}.log")
                log.write_text("\n".join(front.log) + "\n", encoding="utf-8")
    if options.stop:
        nodes.stop()
    if options.write:
        lines = options.kept.read_text(encoding="utf-8").splitlines()
        text = table(map(json.loads, lines))
        PAGE.write_text(put(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
    return 1 if isWrong else 0


if __name__ == "__main__":
    sys.exit(main())
