"""The commands that change queues."""

from __future__ import annotations

import os
from argparse import Namespace
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from memq.client.connection import ServerRefused
from memq.client.figures import Figures
from memq.commandline import manage
from memq.errors import CommandError
from memq.test.support.commandline import Ended, Script, Terminal, command
from memq.test.support.servers import started


class NothingTests(SynchronousTestCase):
    """Why a queue has no message to give."""

    def test_untold(self) -> None:
        """What a front end of a cluster does not tell is not said."""
        found = Figures(b"q", {"items": 0, "open_transactions": 2}, {})
        with patch.object(manage, "detail", lambda *_: found):
            error = manage.nothing(None, b"q")  # type: ignore[arg-type]
        self.assertEqual(str(error), "no message of q waits: 2 open")


class ManageTests(SynchronousTestCase):
    """Queues that are moved, emptied, deleted, paused."""

    def setUp(self) -> None:
        """Have a server with a queue."""
        self.config = os.path.abspath(self.mktemp())
        self.configure("")
        self.server = started(self, "--config", self.config)
        self.server.put(b"q", b"a", b"b", b"c")

    def configure(self, text: str) -> None:
        """Write the configuration file."""
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)

    def command(self, *words: str) -> Ended:
        """Run a command."""
        return command(self.server, *words)

    def test_move(self) -> None:
        """Messages go to the end of another queue, in slices."""
        self.assertEqual(
            self.command("move", "q", "r", "-n", "2"),
            (0, b"", "memq move: 2 messages moved\n"),
        )
        self.assertEqual(self.server.counts(), {b"q": (3, 2), b"r": (2, 0)})
        self.command("move", "q", "r")
        self.assertEqual(self.server.take(b"r"), [b"a", b"b", b"c"])
        done = self.command("move", "r", "r")
        why = "memq move: messages cannot move to the queue that they are in\n"
        self.assertEqual(done, (2, b"", why))
        done = self.command("move", "none", "r")
        self.assertEqual(done, (3, b"", "memq move: there is no queue none\n"))

    def test_full(self) -> None:
        """Queues that take none are told so."""
        self.server.ask(b"rule set full max_items 1", b"rule set q dead_letter dead")
        self.server.ask(b"rule set q max_deliveries 1")
        self.server.put(b"full", b"x")
        why = "none can be stored: where they go is full or paused for writes\n"
        for words in (("move", "q", "full"), ("redrive", "dead")):
            self.server.ask(b"get q/open", b"get q/abort", b"pause q writes")
            told = f"memq {words[0]}: 0 messages moved\nmemq {words[0]}: {why}"
            self.assertEqual(self.command(*words), (3, b"", told))

    def test_slices(self) -> None:
        """Many take several commands, until there is none or enough."""
        bodies = [b"%d" % n for n in range(manage.SLICE + 10)]
        self.server.put(b"many", *bodies)
        done = self.command("move", "many", "r", "-n", str(manage.SLICE + 5))
        self.assertEqual(done.status, 0)
        counts = self.server.counts()
        self.assertEqual(counts[b"r"], (manage.SLICE + 5, 0))

    def test_stop(self) -> None:
        """A stop of the server is told behind how many have moved; so is an error."""
        figures = Figures(b"q", {"items": 3 * manage.SLICE}, {})
        self.patch(manage, "detail", lambda *_: figures)
        whole = b"MOVED %d\r\n" % manage.SLICE
        options = Namespace(queue=b"q", target=b"r", command="move", count=None)
        for answer, moved, words in (
            (
                "the server is stopping, moved 7",
                7,
                "the server is stopping: run it again later",
            ),
            ("no", 0, "the server answered: SERVER_ERROR no"),
        ):
            script = Script(self, whole, f"SERVER_ERROR {answer}\r\n".encode())
            told: list[str] = []
            with patch.object(
                manage, "connected", lambda _, each=script: each.connection()
            ):
                error = self.assertRaises(
                    CommandError, manage._move, options, told.append
                )
            self.assertEqual(error.status, 1)
            self.assertEqual(str(error), words)
            self.assertEqual(told, [f"{manage.SLICE + moved} messages moved"])

    def test_justMade(self) -> None:
        """A queue that is made between two commands is moved from, and that is told."""
        self.patch(manage, "detail", lambda *_: Figures(b"q", {}, {}))
        script = Script(self, b"MOVED 1\r\n")
        self.patch(manage, "connected", lambda _: script.connection())
        options = Namespace(queue=b"q", target=b"r", command="move", count=None)
        told: list[str] = []
        self.assertEqual(manage._move(options, told.append), 0)
        self.assertEqual((script.sent, told), (b"move q r 1\r\n", ["1 message moved"]))

    def test_redrive(self) -> None:
        """Dead letters go back; what else there is stays."""
        self.configure('[queue.q]\nmax_deliveries = 1\ndead_letter = "dead"\n')
        self.assertEqual(self.command("reload"), Ended(0, b"", ""))
        self.server.ask(b"get q/open", b"get q/abort")
        self.server.put(b"dead", b"other")
        done = self.command("redrive", "dead")
        self.assertEqual(done, (0, b"", "memq redrive: 1 message moved\n"))
        self.assertEqual(self.server.take(b"q"), [b"b", b"c", b"a"])
        done = self.command("redrive", "dead")
        why = "none is a dead letter, or the queues that they come from take none"
        self.assertEqual(
            done, (0, b"", f"memq redrive: 0 messages moved\nmemq redrive: {why}\n")
        )
        self.assertEqual(self.server.take(b"dead"), [b"other"])

    def test_flush(self) -> None:
        """A queue is emptied when that is said twice."""
        done = self.command("flush", "q")
        self.assertEqual(done, (2, b"", "memq flush: not on a terminal: say --yes\n"))
        self.assertEqual(self.server.counts(), {b"q": (3, 0)})
        self.assertEqual(self.command("flush", "q", "--yes"), Ended(0, b"", ""))
        self.assertEqual(self.server.counts(), {b"q": (3, 3)})

    def test_delete(self) -> None:
        """Queues are deleted; one that is not there is told."""
        done = self.command("delete", "q", "none", "-y")
        self.assertEqual(done, (3, b"", "memq delete: there is no queue none\n"))
        self.assertEqual(self.server.counts(), {})
        self.assertEqual(self.command("delete", "q").status, 2)

    def test_asked(self) -> None:
        """On a terminal a person is asked, who may say no."""
        for name, answer, status in (
            ("flush", "n\n", 3),
            ("delete", "\n", 3),
            ("flush", "y\n", 0),
            ("delete", "y\n", 0),
        ):
            terminal = Terminal(self.server, name, "q")
            terminal.waitFor(rf"{name} q, which has \d messages\? \[y/N\] ")
            terminal.type(answer)
            self.assertEqual(terminal.end()[0], status)
        self.assertEqual(self.server.counts(), {})

    def test_pause(self) -> None:
        """A queue is paused for reads, for sets or both, and goes on."""
        done = self.command("pause", "p")
        why = "memq pause: there was no queue p; it is created, and paused\n"
        self.assertEqual(done, (0, b"", why))
        for words, stored, found in (
            ((), b"NOT_STORED", b"END"),
            (("--reads",), b"STORED", b"END"),
            (("--writes",), b"NOT_STORED", b"VALUE p 0 1"),
        ):
            self.assertEqual(self.command("pause", "p", *words), Ended(0, b"", ""))
            told = self.server.ask(b"set p 0 0 1", b"a", b"get p").split(b"\r\n")
            self.assertEqual(told[:2], [stored, found])
            self.assertEqual(self.command("resume", "p"), Ended(0, b"", ""))
        done = self.command("resume", "p", "none")
        self.assertEqual(done, (3, b"", "memq resume: there is no queue none\n"))

    def test_reload(self) -> None:
        """A mistake in the file is told with its line."""
        self.configure("[queue.q]\ncolour = 1\n")
        done = self.command("reload")
        self.assertEqual(done.status, 3)
        self.assertIn(f"memq reload: {self.config} line 2", done.err)

    def test_otherErrors(self) -> None:
        """An error that is no refusal stays one."""
        for reply in (b"ERROR\r\n", b"SERVER_ERROR internal error\r\n"):
            script = Script(self, reply)
            with (
                self.assertRaises(ServerRefused),
                script.connection() as connection,
                manage.refusing(),
            ):
                connection.ask(b"reload")
