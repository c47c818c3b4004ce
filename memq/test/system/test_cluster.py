"""Real front ends, over fake nodes that speak AMQP and HTTP on loopback."""

from __future__ import annotations

import os
from signal import SIGHUP
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import NEEDS_A_PERSON
from memq.test.support.rabbitserver import Nodes
from testkit.servers import Server
from testkit.wire import found


class ClusterTests(SynchronousTestCase):
    """Front ends, from their start to their end."""

    def nodes(self, **settings: Any) -> list[str]:
        """Start fake nodes; return the options that name them."""
        nodes = Nodes(**settings)
        self.addCleanup(nodes.stop)
        return nodes.options(os.path.abspath(self.mktemp()))

    def front(self, *options: str) -> Server:
        """Start a front end."""
        server = Server("", *options)
        self.addCleanup(server.stop)
        return server.start()

    def refused(self, *options: str) -> str:
        """Return the line that a front end ends with that a person has to look at."""
        server = Server("", *options).launch()
        self.addCleanup(server.stop)
        line = server.waitForLine("#critical")
        self.assertEqual(server.wait(), NEEDS_A_PERSON)
        return line

    def test_serves(self) -> None:
        """Front ends of one cluster have the same queues, and end in order."""
        options = self.nodes()
        one, other = self.front(*options), self.front(*options)
        one.put(b"q", b"a", b"b")
        self.assertEqual(other.ask(b"get q"), found(b"q", b"a"))
        with one.wire() as wire:
            self.assertEqual(wire.take(b"q/open"), b"b")
            self.assertEqual(wire.ask(b"get q/close"), b"END")
        self.assertEqual(other.take(b"q"), [])
        self.assertEqual(one.figures(b"settings")[b"rabbitmq-password-file"][:1], b"/")
        self.assertEqual((one.stop(), other.stop()), (0, 0))
        one.waitForLine("Stopped")

    def test_refused(self) -> None:
        """A cluster without Khepri, a password or a rule that it keeps is refused."""
        options = self.nodes(isKhepri=False)
        self.assertIn(
            "RabbitMQ 4.0.5 keeps its queues in Mnesia", self.refused(*options)
        )
        self.front(*options, "--accept-mnesia")
        options = self.nodes(password="another")
        self.assertIn("refuse user memq: its password", self.refused(*options))

    def test_rules(self) -> None:
        """Rules hold that the cluster keeps; at a reload, others change nothing."""
        path = os.path.abspath(self.mktemp())

        def write(line: str) -> None:
            with open(path, "w", encoding="ascii") as file:
                file.write(f"[queue.q]\n{line}\n")

        options = [*self.nodes(), "--config", path]
        write("max_items = 3")
        self.assertIn(f"{path} line 2: max_items = 3", self.refused(*options))
        write('paused = "reads"')
        server = self.front(*options)
        write("max_items = 3")
        os.kill(server.pid, SIGHUP)
        line = server.waitForLine("all stays as it was")
        self.assertIn(f"SIGHUP: {path} line 2: max_items = 3", line)
        write('paused = "writes"')
        os.kill(server.pid, SIGHUP)
        server.waitForLine("is read again")
