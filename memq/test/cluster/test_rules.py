"""Rules that real nodes keep, by what ``memq rabbitmq-policies`` prints."""

from __future__ import annotations

import os
import shlex
import sys
import time

from memq.test.cluster.nodes import ClusterTestCase
from testkit.servers import PATIENCE, Server, outputOf

RULES = """
[queue."kept.*"]
max_deliveries = 2
dead_letter = "dead"
[queue."kept.old"]
max_deliveries = 0
max_age = 0.5
expired_to = "dead"
[queue."few*"]
max_items = 5
[queue."few%"]
overflow = "drop-oldest"
"""


class RulesTests(ClusterTestCase):
    """A front end whose file has rules."""

    def printed(self) -> list[list[str]]:
        """Return the words of the lines that set the policies."""
        run = "import sys; from memq.cli import run; sys.exit(run())"
        words = "rabbitmq-policies", "--config", self.path, "--vhost", "memq"
        lines = outputOf(sys.executable, "-c", run, *words)
        return [shlex.split(line)[1:] for line in lines.splitlines()]

    def taken(self, server: Server, queue: bytes) -> list[bytes]:
        """Return the messages of a queue, once there are any."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if found := server.take(queue):
                return found
            time.sleep(0.05)
        raise AssertionError(f"there is nothing in {queue!r}")

    def test_kept(self) -> None:
        """Rules are refused until nodes have the policies, and in force then."""
        self.path: str = os.path.abspath(self.mktemp())
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(RULES)
        nodes = self.nodes()
        refused = self.makeFront("--config", self.path)
        refused.launch()
        self.assertEqual(refused.wait(), 78)
        words = f'{self.path} line 10: max_items = 5 of "few*": '
        self.assertTrue(any(words in line for line in refused.log), refused.log)
        for words_ in self.printed():
            name = words_[-3]
            nodes.run("ctl", "1", *words_)
            self.addCleanup(nodes.run, "ctl", "1", "clear_policy", "-p", "memq", name)
        front = self.front("--config", self.path)
        self.limits(front)
        self.deaths(front)
        self.redriven(front)
        self.reloads(front)
        queues = b"kept.q", b"kept.old", b"few", b"few%", b"dead"
        front.ask(*(b"delete " + queue for queue in queues))

    def limits(self, front: Server) -> None:
        """A full queue refuses what comes, or drops the oldest."""
        sets = [b"set few 0 0 1\r\n%d" % each for each in range(10)]
        told = [front.ask(each) for each in sets]
        # One more than the limit is taken.
        self.assertEqual(told, [b"STORED\r\n"] * 6 + [b"NOT_STORED\r\n"] * 4)
        front.put(b"few%", *(b"%d" % each for each in range(10)))
        self.assertEqual(front.take(b"few%"), [b"5", b"6", b"7", b"8", b"9"])

    def deaths(self, front: Server) -> None:
        """What was given back too often, or is too old, goes to another queue."""
        front.put(b"kept.q", b"1")
        opened = b"VALUE kept.q/open 0 1\r\n1\r\nEND\r\nEND\r\n"
        for _ in range(2):
            asked = front.ask(b"get kept.q/open", b"get kept.q/abort")
            self.assertEqual(asked, opened)
        self.assertEqual(self.taken(front, b"dead"), [b"1"])
        self.assertEqual(front.take(b"kept.q"), [])
        front.put(b"kept.old", b"2")
        self.assertEqual(self.taken(front, b"dead"), [b"2"])
        self.assertEqual(front.take(b"kept.old"), [])

    def until(self, front: Server, asked: list[bytes], told: bytes) -> None:
        """Ask until that is told."""
        end = time.monotonic() + PATIENCE
        while (found := front.ask(*asked)) != told:
            self.assertLess(time.monotonic(), end, found)
            time.sleep(0.05)

    def redriven(self, front: Server) -> None:
        """Dead letters go back, also one that was delayed before; others stay."""
        front.put(b"dead", b"0")
        front.ask(b"set kept.q/delay=1 7 0 1\r\n1")
        asked = [b"get kept.q/open", b"get kept.q/abort"]
        opened = b"VALUE kept.q/open 7 1\r\n1\r\nEND\r\nEND\r\n"
        self.until(front, asked, opened)
        self.assertEqual(front.ask(*asked), opened)
        self.until(front, [b"redrive dead"], b"MOVED 1\r\n")
        # It has two tries again.
        self.until(front, asked, opened)
        self.assertEqual(front.ask(b"get kept.q"), b"VALUE kept.q 7 1\r\n1\r\nEND\r\n")
        self.assertEqual(front.take(b"dead"), [b"0"])

    def reloads(self, front: Server) -> None:
        """Other rules are refused, and those that were there stay."""
        self.assertEqual(front.ask(b"reload"), b"OK\r\n")
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("[queue.more]\nmax_items = 1\n")
        told = front.ask(b"reload")
        self.assertTrue(told.startswith(b"SERVER_ERROR " + self.path.encode()), told)
        self.assertIn(b"line 14: max_items = 1 of more: ", told)
        fixed = front.ask(b"rule set q max_age 5")
        self.assertTrue(fixed.startswith(b"SERVER_ERROR a front end's rules"), fixed)
