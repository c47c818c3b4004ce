"""Later tries and imports over a real cluster: what goes along, and what is known."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from memq.admin.exportformat import Begin, Body, End, QueueBegin, QueueEnd, packLine
from memq.message import Reason, Trace
from memq.test.cluster.nodes import ClusterTestCase
from testkit.servers import PATIENCE, environment

if TYPE_CHECKING:
    from testkit.servers import Server

RUN = "import sys; from memq.cli import run; sys.exit(run())"
#: More than a few chunks.
MESSAGES = 700


class TransferTests(ClusterTestCase):
    """What was read before, and is set."""

    def imported(self, front: Server, *bodies: Body) -> str:
        """Import a queue, and return what is said."""
        path = os.path.abspath(self.mktemp())
        with open(path, "wb") as file:
            file.write(packLine(Begin()))
            file.write(packLine(QueueBegin(b"imported", len(bodies), 0)))
            file.writelines(map(packLine, bodies))
            file.write(packLine(QueueEnd(len(bodies), 0)))
            file.write(packLine(End(1)))
        return self.again(front, path)

    def again(self, front: Server, path: str) -> str:
        """Import a file, or go on with that."""
        self.path = path
        where = "--server", f"127.0.0.1:{front.port}"
        done = subprocess.run(
            [sys.executable, "-c", RUN, "import", *where, "--resume", path],
            stderr=subprocess.PIPE,
            env=environment(),
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.stderr.splitlines()[-1]

    def test_imported(self) -> None:
        """All is there in order, once; another front end knows that."""
        front, other = self.front(), self.front()
        front.ask(b"delete imported")
        bodies = [b"%f %d" % (time.time(), number) for number in range(MESSAGES)]
        said = self.imported(front, *(Body(0, 1, body) for body in bodies))
        self.assertEqual(said, f"memq import: imported 1 queues, {MESSAGES} messages")
        self.assertEqual(other.take(b"imported"), bodies)
        said = self.again(other, self.path)
        self.assertEqual(said, "memq import: all of that is imported already")
        self.assertEqual(other.take(b"imported"), [])

    def test_later(self) -> None:
        """A dead letter that is tried later knows how often, and where it is from."""
        front = self.front()
        front.ask(b"delete imported", b"delete first")
        trace = Trace(4, b"first", Reason.DELIVERIES, 77)
        self.imported(front, Body(0, 1, b"%f" % time.time(), trace=trace))
        with front.wire() as wire:
            wire.ask(b"get imported/open")
            wire.ask(b"get imported/abort/delay=1")
        end = time.monotonic() + PATIENCE
        while not (told := front.talk(b"stats peek imported\r\nquit\r\n"))[5:]:
            self.assertLess(time.monotonic(), end)
        lines = told.decode().splitlines()
        self.assertIn("STAT deliveries 1", lines)
        self.assertIn("STAT origin first", lines)
        self.assertIn("STAT deliveries_before 4", lines)
        self.assertEqual(front.talk(b"redrive imported\r\nquit\r\n"), b"MOVED 1\r\n")
        self.assertEqual(len(front.take(b"first")), 1)
