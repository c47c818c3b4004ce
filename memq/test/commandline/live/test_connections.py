"""The command memq connections."""

from __future__ import annotations

import json
import os
from time import monotonic

from twisted.trial.unittest import SynchronousTestCase

from memq.commandline.live.connections import Client, _cell, collect
from memq.test.support.commandline import Ended, Terminal, command, ended, launched
from memq.test.support.servers import started
from testkit.servers import PATIENCE


class CollectTests(SynchronousTestCase):
    """Figures become connections."""

    def test_collect(self) -> None:
        """The figures of one stand behind each other."""
        self.assertEqual(list(collect([])), [])
        lines = [(b"1:open", b"2"), (b"12:open", b"0"), (b"12:waits", b"\xff")]
        first, second = collect(lines)
        self.assertEqual((first.id, first.text("open")), (1, "2"))
        self.assertEqual((second.text("waits"), second.text("sent")), ("\udcff", ""))

    def test_local(self) -> None:
        """A table says little of clients of a UNIX socket."""
        for peer, shown in (
            (b"a_local_client", "local"),
            (b"a_local_client_(process_7,_user_0)", "process 7, user 0"),
            (b"10.0.0.1:5000", "10.0.0.1:5000"),
        ):
            self.assertEqual(_cell(Client(1, {"addr": peer}), "peer"), shown)


class ConnectionsTests(SynchronousTestCase):
    """A server that somebody is connected to."""

    def setUp(self) -> None:
        """Have a server, and one who waits for a message of a queue."""
        self.server = started(self)
        self.queue = "队列\x9b"
        self.popping = launched(self.server, "pop", self.queue, "--wait=60")
        self.addCleanup(self.popping.kill)
        end = monotonic() + PATIENCE
        with self.server.wire() as wire:
            while b"waits" not in b" ".join(wire.figures(b"conns")):
                assert monotonic() < end
                os.sched_yield()

    def test_pipe(self) -> None:
        """In a pipe are TABs between columns."""
        done = command(self.server, "connections")
        title, first, *_ = (line.split(b"\t") for line in done.out.splitlines())
        self.assertEqual((done.status, done.err), (0, ""))
        self.assertEqual(title[0], b"id")
        row = dict(zip(title, first, strict=True))
        self.assertEqual((row[b"waits"], row[b"open"]), (self.queue.encode(), b"0"))
        self.assertTrue(row[b"peer"].startswith(b"127.0.0.1:"))

    def test_json(self) -> None:
        """JSON has numbers, and null for what is not told."""
        done = command(self.server, "connections", "--json")
        first, *_, own = map(json.loads, done.out.splitlines())
        self.assertEqual((first["waits"], first["open"]), (self.queue, 0))
        self.assertEqual((own["waits"], own["protocol"]), (None, "text"))
        self.assertIsInstance(first["since"], float)
        self.assertGreater(own["id"], first["id"])

    def test_kill(self) -> None:
        """One is cut off by its id."""
        done = command(self.server, "connections", "--json")
        id = str(json.loads(done.out.splitlines()[0])["id"])
        words = ("connections", "--kill", id)
        self.assertEqual(command(self.server, *words), Ended(0, b"", ""))
        self.assertEqual(ended(self.popping).status, 1)
        done = command(self.server, *words)
        self.assertEqual(done.status, 3)
        self.assertIn(f"there is no connection {id}", done.err)
        self.assertEqual(command(self.server, "connections", "--kill=x").status, 2)

    def test_terminal(self) -> None:
        """On a terminal is a table, as wide as that is, in which nothing drives it."""
        for columns, isWide in ((60, False), (120, True)):
            terminal = Terminal(self.server, "connections", columns=columns)
            status, shown = terminal.end()
            self.assertEqual(status, 0)
            self.assertIn("队列\\x9b", shown)
            self.assertIn("127.0.0.1:", shown)
            self.assertEqual("received" in shown, isWide)
