"""Imports into a real server, of which clients and servers are killed at random.

Each goes on with --resume until it is done; then each message is there once, whether
queues are filled or appended to.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from signal import SIGKILL

from twisted.trial.unittest import SynchronousTestCase

from memq.admin.exportformat import Begin, Body, End, QueueBegin, QueueEnd, packLine
from memq.test.support.servers import started
from memq.test.support.torture import report, rounds
from testkit.servers import PATIENCE, environment

RUN = "import sys; from memq.cli import run; sys.exit(run())"
MESSAGES = 2000
QUEUES = (b"a", b"b", b"c", b"d")


def bodies(queue: bytes) -> list[bytes]:
    """Return the messages of a queue; some are large."""
    return [
        b"%b %d " % (queue, number) + b"x" * (100_000 if number % 1000 == 7 else 0)
        for number in range(MESSAGES)
    ]


class LiveImportTests(SynchronousTestCase):
    """What is there in the end."""

    def setUp(self) -> None:
        """Start a server, and write an export."""
        self.server = started(self, "--no-sync")
        self.path = os.path.abspath(self.mktemp())
        with open(self.path, "wb") as file:
            file.write(packLine(Begin()))
            for queue in QUEUES:
                file.write(packLine(QueueBegin(queue, MESSAGES, 0)))
                for body in bodies(queue):
                    file.write(packLine(Body(0, 1, body)))
                file.write(packLine(QueueEnd(MESSAGES, 0)))
            file.write(packLine(End(len(QUEUES))))

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start an import."""
        # A signal within what measures coverage may hold its lock for ever.
        variables = {
            name: value
            for name, value in environment().items()
            if not name.startswith("COVERAGE_")
        }
        where = "--server", f"127.0.0.1:{self.server.port}"
        options = *where, "--resume", *words
        return subprocess.Popen(
            [sys.executable, "-c", RUN, "import", *options, self.path],
            stderr=subprocess.PIPE,
            env=variables,
            text=True,
        )

    def end(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Return the status of an import, and its last line."""
        _, said = process.communicate(timeout=PATIENCE)
        return process.returncode, (said.splitlines() or [""])[-1]

    def killServer(self) -> None:
        """Kill the server, and start it again."""
        os.kill(self.server.pid, SIGKILL)
        self.server.wait()
        self.server.start()

    def importAll(self, seed: int, *words: str) -> int:
        """Import, and kill either side until it is done; return how often."""
        some = random.Random(seed)
        kills = 0
        while True:
            process = self.start(*words)
            try:
                # Longer each time, for a machine that is slow.
                process.wait((0.05 + some.random() * 0.1) * (kills + 1))
            except subprocess.TimeoutExpired:
                [self.killServer, process.kill][kills % 2]()
                kills += 1
            status, said = self.end(process)
            if status == 0:
                return kills
            self.assertIn(status, (1, -SIGKILL), said)

    def test_killed(self) -> None:
        """Each message is there once and in its order, in queues that were not."""
        kills = 0
        seed = random.randrange(1 << 30)
        for number in rounds(1):
            kills += self.importAll(seed + number)
            for queue in QUEUES:
                found = self.server.take(queue)
                self.assertTrue(found == bodies(queue), f"seed {seed} {queue!r}")
                self.assertEqual(self.server.counts()[queue], (MESSAGES, MESSAGES))
            self.change()
        report("import", kills=kills)

    def test_appended(self) -> None:
        """So it is in queues that have messages, of which some are taken meanwhile."""
        kills = 0
        seed = random.randrange(1 << 30)
        for number in rounds(1):
            for queue in QUEUES:
                self.server.put(queue, b"first")
            kills += self.importAll(seed + number, "--append")
            for queue in QUEUES:
                found = self.server.take(queue)
                expected = [b"first", *bodies(queue)]
                self.assertTrue(found == expected, f"seed {seed} {queue!r}")
            self.change()
        report("import --append", kills=kills)

    def change(self) -> None:
        """Make another export of this one, and another home of the server's."""
        self.server.stop()
        self.setUp()
