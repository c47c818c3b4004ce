"""memq push, pop and work, killed at any moment: what is lost, and what comes twice."""

from __future__ import annotations

import os
import random
import shlex
import subprocess
from time import monotonic

from twisted.trial.unittest import SynchronousTestCase

from memq.commandline.pop import MOST
from memq.test.support.commandline import MEMQ, ended, launched, variables
from memq.test.support.servers import started
from memq.test.support.torture import report, rounds, told, whole
from testkit.servers import PATIENCE

#: Workers that run at a time.
_WORKERS = 4


#: As a person would type it; $1 is a number.
_THERE_AND_BACK = (
    'seq "$1" | memq push q --lines && memq pop q --all --lines | cmp - <(seq "$1")'
)


class PipeTests(SynchronousTestCase):
    """Commands between others."""

    def test_seq(self) -> None:
        """All that comes out of a pipe goes into another one, byte for byte."""
        server = started(self)
        memq = f'memq() {{ {shlex.join(MEMQ)} "$@"; }}'
        script = f"set -o pipefail; {memq}; {_THERE_AND_BACK}"
        done = subprocess.run(
            ["bash", "-c", script, "bash", str(whole(100_000, 1_000_000))],
            env=variables(server),
            capture_output=True,
            timeout=10 * PATIENCE,
            check=False,
        )
        said = (done.returncode, done.stdout)
        self.assertEqual(said, (0, b""), done.stderr.decode())
        self.assertEqual(server.take(b"q"), [])


class KillTests(SynchronousTestCase):
    """Commands that are killed."""

    def setUp(self) -> None:
        """Have a server, and a seed."""
        self.server = started(self)
        self.seed = random.randrange(1 << 32)
        self.random = random.Random(self.seed)

    def test_push(self) -> None:
        """A push that is killed has stored a beginning of its stream, and no more."""
        lines = b"".join(b"%d\n" % each for each in range(whole(10_000, 500_000)))
        stored = 0
        for number in rounds(30):
            process = launched(self.server, "push", "q", "--lines")
            assert process.stdin is not None
            process.stdin.write(lines[: self.random.randrange(len(lines))])
            process.kill()
            process.communicate()
            found = self.takeAll()
            stored += len(found)
            with told(f"seed {self.seed}, round {number}"):
                self.assertEqual(found, [b"%d" % n for n in range(len(found))])
        report("memq push", rounds=number + 1, stored=stored)

    def test_pop(self) -> None:
        """A pop that is killed loses nothing; MOST messages at most come twice."""
        bodies = [b"%06d" % n for n in range(whole(3, 100) * MOST)]
        twice = 0
        for number in rounds(30):
            self.server.put(b"q", *bodies)
            process = launched(self.server, "pop", "q", "--all", "--lines")
            had = self.read(process)
            self.waitUntilAlone()
            rest = self.takeAll()
            with told(f"seed {self.seed}, round {number}"):
                self.assertEqual(had, bodies[: len(had)])
                self.assertEqual(rest, bodies[len(bodies) - len(rest) :])
                more = len(had) + len(rest) - len(bodies)
                self.assertTrue(0 <= more <= MOST, more)
            twice += more
        report("memq pop", rounds=number + 1, messages=len(bodies), twice=twice)

    def read(self, process: subprocess.Popen[bytes]) -> list[bytes]:
        """Read some of what a command writes, kill it, and return its whole lines."""
        assert process.stdout is not None
        text = process.stdout.read(self.random.randrange(1, 20_000))
        process.kill()
        text += process.stdout.read()
        process.communicate()
        # A last line without its end is a part of a message that comes again.
        *lines, _ = text.split(b"\n")
        return lines

    def test_work(self) -> None:
        """Workers that are killed leave no message undone."""
        out = os.path.abspath(self.mktemp())
        kills = done = 0
        for _ in rounds(1):
            bodies = {f"{n}" for n in range(done, done + 40)}
            self.server.put(b"q", *[body.encode() for body in bodies])
            for _ in range(3):
                process = self.work(out)
                self.waitFor(out, done + self.random.randrange(1, 12))
                process.kill()
                process.communicate()
                kills += 1
                done = len(self.lines(out))
            process = self.work(out)
            self.waitUntilEmpty()
            process.terminate()
            self.assertEqual(ended(process).status, 0)
            lines = self.lines(out)
            with told(f"seed {self.seed}"):
                self.assertEqual(bodies - set(lines), set())
                self.assertLessEqual(len(lines) - len(set(lines)), kills * _WORKERS)
            done = len(lines)
        report("memq work", kills=kills, done=done)

    def work(self, out: str) -> subprocess.Popen[bytes]:
        """Start a worker whose commands write a line for each message."""
        words = ("-j", str(_WORKERS), "--", "sh", "-c", f'echo "$(cat)" >>{out}')
        process = launched(self.server, "work", "q", *words)
        self.addCleanup(process.kill)
        return process

    def lines(self, out: str) -> list[str]:
        """Return what commands have written."""
        if not os.path.exists(out):
            return []
        with open(out, encoding="ascii") as file:
            return file.read().splitlines()

    def waitFor(self, out: str, number: int) -> None:
        """Wait until commands have written so many lines."""
        end = monotonic() + PATIENCE
        while len(self.lines(out)) < number:
            assert monotonic() < end, self.lines(out)
            os.sched_yield()

    def takeAll(self) -> list[bytes]:
        """Take all messages of q, many at a time."""
        taken: list[bytes] = []
        with self.server.wire() as wire:
            while True:
                wire.send(MOST * b"get q\r\n")
                values = [wire.value() for _ in range(MOST)]
                taken += [value.body for value in values if value]
                if not values[-1]:
                    return taken

    def waitUntilAlone(self) -> None:
        """Wait until what was killed has left, and all that it had open went back."""
        end = monotonic() + PATIENCE
        with self.server.wire() as wire:
            others = iter(lambda: wire.figures()[b"curr_connections"], b"1")
            self.assertTrue(all(monotonic() < end for _ in others))

    def waitUntilEmpty(self) -> None:
        """Wait until no message waits, is open, or is to come again."""
        with self.server.wire() as wire:
            while True:
                figures = wire.figures(b"detail q")
                names = (b"items", b"open_transactions", b"delayed")
                if not any(int(figures[b"queue_q_" + name]) for name in names):
                    return
                os.sched_yield()
