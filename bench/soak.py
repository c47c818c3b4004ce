"""A long soak of memq under mixed load and faults: `make soak HOURS=n`.

A server lives for a stretch, durable and with --no-sync in turn, under all that
:mod:`bench.soaking` has, and is sent SIGHUP on the way.  Then it is killed, or, once in
three times, told to end; another one starts; and every message and count is compared
with what clients were told.  Two stretches, one of each setting, are long: they show
what leaks.  At the end there is a plot, and verdicts; status 1 if one is bad.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from bench import machine
from bench.measure import progress
from bench.outcome import plot, summary
from bench.probe import QUEUE
from bench.samples import Sampler, SoakRecord, Stretch
from bench.soaking import Clients
from bench.verdicts import table, verdicts
from bench.workspace import ROOT, workspace
from testkit.ledger import Ledger
from testkit.mix import drain, newSeed
from testkit.servers import Server

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The part of the time that each of the two long stretches takes; the most and the
#: least seconds of the others.
LONG, SHORT_MOST, SHORT_LEAST = 0.3, 150.0, 5.0
#: Seconds between two samples, and about how many there are at least.
INTERVAL, SAMPLES = 5.0, 300
#: Options of the servers.  A cache that is soon full shows leaks earlier.
OPTIONS = ("--max-body", "16M", "--cache-size", "16")
#: Events in the life of a server, as the legend of the plot has them.
KILLED, ENDED, HUNG_UP = "kill -9", "SIGTERM", "SIGHUP"


class Soak:
    """One home and its servers, one after the other.

    :ivar record: what was seen; the time that it lasted comes at the end.
    """

    def __init__(self, home: str, seconds: float, seed: int) -> None:
        """Prepare it.

        :param seed: what it does at random is by that.
        """
        self._seconds = seconds
        self._home = home
        self._rng = Random(seed)
        self._ledger = Ledger()
        self._clients = Clients(self._ledger, seed)
        moments: dict[str, list[float]] = {KILLED: [], ENDED: [], HUNG_UP: []}
        self.record = SoakRecord(seed, self._ledger, [], moments, seconds)
        self._began = time.monotonic()
        interval = max(0.5, min(INTERVAL, seconds / SAMPLES))
        self._sampler = Sampler(self._began, interval, self._ledger.complain)

    def run(self) -> None:
        """Go on until the time is over, or something is wrong."""
        lengths = self._lengths()
        server = self._server("").start()
        try:
            for number, (length, isLong) in enumerate(lengths):
                setting = ("", "--no-sync")[number % 2]
                stretch = Stretch(setting, isLong, [])
                self.record.stretches.append(stretch)
                self._live(server, stretch, length)
                following = ("--no-sync", "")[number % 2]
                server = self._server(following).start()
                self._compare(server, number + 1 == len(lengths))
                self._say(number + 1, len(lengths))
                if self._ledger.complaints:
                    break
        finally:
            server.stop(signal.SIGKILL)
            self.record.lasted = time.monotonic() - self._began

    def _lengths(self) -> list[tuple[float, bool]]:
        """Return how many seconds each stretch takes, and whether it is a long one.

        Settings alternate, so the long ones are an odd number of stretches apart.
        """
        left = self._seconds * (1 - 2 * LONG)
        most = min(SHORT_MOST, left / 3)
        lengths = []
        while left > 0:
            lengths.append((self._rng.uniform(min(SHORT_LEAST, most), most), False))
            left -= lengths[-1][0]
        middle = len(lengths) // 2
        second = middle + 2 - middle % 2
        lengths.insert(1, (self._seconds * LONG, True))
        lengths.insert(second, (self._seconds * LONG, True))
        return lengths

    def _server(self, setting: str) -> Server:
        return Server(self._home, *OPTIONS, *setting.split())

    def _live(self, server: Server, stretch: Stretch, seconds: float) -> None:
        """Load a server for so long, and end it."""
        isKilled = self._rng.random() < 2 / 3
        hangUp = seconds * self._rng.random()
        with self._sampler.sampling(server, stretch.samples) as ending:
            self._clients.start(server.connect)
            try:
                time.sleep(hangUp)
                self._signal(server, HUNG_UP, signal.SIGHUP)
                time.sleep(seconds - hangUp)
            finally:
                ending.set()
                self._clients.ends()
                kind, number = KILLED, signal.SIGKILL
                if not isKilled:
                    kind, number = ENDED, signal.SIGTERM
                self._signal(server, kind, number)
                status = server.wait()
                self._clients.join()
        if status != (-signal.SIGKILL if isKilled else 0):
            self._ledger.complain(f"status {status} after {kind}: {server.log[-5:]}")

    def _signal(self, server: Server, kind: str, number: signal.Signals) -> None:
        self.record.moments[kind].append(time.monotonic() - self._began)
        os.kill(server.pid, number)

    def _compare(self, server: Server, everything: bool) -> None:
        """Compare all counts, and all that is in most queues."""
        counts = server.counts()
        counts.pop(QUEUE, None)
        self._ledger.check(counts)
        queues = self._ledger.queues
        some = len(queues) if everything else len(queues) * 3 // 4
        drain(self._ledger, server, self._rng.sample(queues, some))

    def _say(self, number: int, count: int) -> None:
        ledger = self._ledger
        progress(
            f"stretch {number} of {count}, {time.monotonic() - self._began:.0f} s: "
            f"{ledger.stored:,} stored, {ledger.given:,} given out, "
            f"{len(ledger.complaints)} complaints"
        )


def main(words: Sequence[str]) -> None:
    """Soak, draw, and say what was found."""
    parser = argparse.ArgumentParser(prog="soak")
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument(
        "--home", type=Path, default=ROOT / "var", help="where to write"
    )
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="for the plot")
    options = parser.parse_args(words)
    signal.signal(signal.SIGTERM, _end)
    with workspace(options.home) as root:
        soak = Soak(str(root / "home"), options.hours * 3600, newSeed())
        record = soak.record
        progress(f"seed {record.seed} (MEMQ_TORTURE_SEED), {options.hours:g} hours")
        facts = dict(machine.describe(root))
        soak.run()
        if record.ledger.complaints:
            # For whoever wants to find out what is wrong with it.
            kept = options.home / "soak-home"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.move(root / "home", kept)
            progress(f"the home is kept: {kept}")
    found = verdicts(record.ledger, record.stretches)
    note = f"{facts['date']}; {facts['processor']}; {facts['file system']}"
    plot(record, options.docs / "reliability-soak.svg", note)
    (options.home / "soak.json").write_text(summary(record, found), encoding="utf-8")
    counts = ", ".join(f"{len(at)} {kind}" for kind, at in record.moments.items())
    print(f"{record.lasted / 60:.1f} minutes, seed {record.seed}: {counts}\n")
    print(table(found))
    for complaint in record.ledger.complaints[:20]:
        print(complaint)
    if any(verdict.isGood is False for verdict in found):
        raise SystemExit(1)


def _end(number: int, frame: object) -> None:
    raise SystemExit("soak was ended")


if __name__ == "__main__":
    main(sys.argv[1:])
