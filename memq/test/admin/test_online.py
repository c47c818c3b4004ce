"""Exports are imported into a running server, from the command line."""

from __future__ import annotations

import io
import os
import socket
import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from memq import ratelimit
from memq.admin.exportformat import Begin, Body, End, QueueBegin, QueueEnd
from memq.admin.sender import Sender
from memq.cli import main
from memq.client.address import VARIABLE
from memq.message import Reason, Trace
from memq.test.admin.test_importer import packed
from memq.test.support.servers import started

if TYPE_CHECKING:
    from testkit.servers import Server

#: A time that does not come while a test runs.
LATER = 1 << 45
DEAD = Trace(3, "käse".encode(), Reason.DELIVERIES, 5, 1)


def queue(name: bytes, *bodies: Body) -> bytes:
    """Return the lines of a queue of which one more was taken."""
    delayed = sum(body.due is not None for body in bodies)
    count = len(bodies) - delayed
    begin = QueueBegin(name, count + 1, 1, delayed)
    return packed(begin, *bodies, QueueEnd(count, 0, delayed))


def export(*queues: bytes) -> bytes:
    """Return an export."""
    return packed(Begin()) + b"".join(queues) + packed(End(len(queues)))


ALL = export(
    queue(
        b"q",
        Body(1, 2, b"plain"),
        Body(4_294_967_295, 3, b"", 4, 5),
        Body(0, 3, os.urandom(200_000), trace=DEAD),
        Body(0, 3, b"x" * 24_000, deliveries=1, trace=Trace(7)),
        Body(0, 4, b"late", due=LATER, expires=LATER + 1),
    ),
    queue(b"\xff" * 250, *[Body(0, 2, b"x" * 20_000)] * 9),
    queue("käse".encode(), *[Body(7, 9, b"%d" % each) for each in range(500)]),
    queue(b"nothing"),
    packed(QueueBegin(b"set", 5, 5, 0, 7, 3), QueueEnd(0, 0)),
    packed(QueueBegin(b"damaged", 5, 2), Body(0, 1, b"a"), QueueEnd(1, 2)),
)
MANY = [Body(0, 2, b"%d" % each) for each in range(700)]
TWO = export(queue(b"a", *MANY), queue(b"b", *MANY))


class OnlineTestCase(SynchronousTestCase):
    """A real server, and the command."""

    def setUp(self) -> None:
        """Start a server."""
        self.server = started(self, "--no-sync")

    def name(self, server: str) -> None:
        """Let the environment name a server."""
        os.environ[VARIABLE] = server
        self.addCleanup(os.environ.pop, VARIABLE, None)

    def path(self) -> str:
        """Return a path where nothing is."""
        path: str = self.mktemp()
        return os.path.abspath(path)

    def written(self, text: bytes) -> str:
        """Return a file with something in it."""
        path = self.path()
        with open(path, "wb") as file:
            file.write(text)
        return path

    def ended(self, expected: int, *words: str) -> str:
        """Return what a command says that ends with a status."""
        err = io.StringIO()
        self.patch(sys, "stderr", err)
        self.assertEqual(main(words), expected, err.getvalue())
        return err.getvalue()

    def imported(self, text: bytes, *words: str, status: int = 0) -> str:
        """Return what an import into the server's home says."""
        server = f"127.0.0.1:{self.server.port}"
        file = self.written(text)
        return self.ended(status, "import", "--server", server, *words, file)

    def exported(self, server: Server | None = None) -> bytes:
        """Return the lines of a server's export, but the first."""
        path = self.path()
        home = (server or self.server).home
        self.ended(0, "export", "--home", home, "--output", path)
        with open(path, "rb") as file:
            return file.read().split(b"\n", 1)[1]

    def interrupt(self, chunk: int) -> None:
        """Let the next import end when it has sent some chunks, and be answered."""
        send = Sender._send
        left = [chunk]

        def interrupted(sender: Sender) -> None:
            send(sender)
            left[0] -= 1
            if not left[0]:
                while sender._underWay:
                    sender._settle()
                self.patch(Sender, "_send", send)
                raise KeyboardInterrupt

        self.patch(Sender, "_send", interrupted)


class WholeTests(OnlineTestCase):
    """All of it, as it was."""

    def test_thereAndBack(self) -> None:
        """What is exported behind it is the same bytes; so it is after a restart."""
        said = self.imported(ALL)
        self.assertEqual(said, "memq import: imported 6 queues, 515 messages\n")
        # Messages that are damaged count as taken.
        expected = ALL.split(b"\n")[1:]
        expected.remove(packed(QueueBegin(b"damaged", 5, 2))[:-1])
        expected.remove(packed(QueueEnd(1, 2))[:-1])
        more = packed(QueueBegin(b"damaged", 5, 4), QueueEnd(1, 0)).split(b"\n")
        expected = sorted([*expected, *more[:2]])
        self.assertEqual(sorted(self.exported().split(b"\n")), expected)
        self.server.stop()
        self.server.start()
        self.assertEqual(sorted(self.exported().split(b"\n")), expected)

    def test_home(self) -> None:
        """The server of a home is found, and what it is said to be is checked."""
        file = self.written(TWO)
        place = f"127.0.0.1:{self.server.port}"
        self.name(place)
        said = self.ended(0, "import", "--home", self.server.home, file)
        self.assertIn(f"(pid {self.server.pid}): importing into that server\n", said)
        self.assertEqual(self.server.counts(), {b"a": (701, 1), b"b": (701, 1)})
        other = started(self)
        said = self.ended(1, "import", "--home", other.home, file)
        self.assertIn(f"a server uses it (pid {other.pid}); name that with", said)
        self.assertIn(f"{place}: another server\n", said)
        self.name("127.0.0.1:1")
        said = self.ended(1, "import", "--home", other.home, file)
        self.assertIn("127.0.0.1:1: Connection refused\n", said)

    def test_noServer(self) -> None:
        """What answers as no memq does is another server."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        port = listening.getsockname()[1]

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        self.addCleanup(thread.join)
        self.name(f"127.0.0.1:{port}")
        file = self.written(TWO)
        said = self.ended(1, "import", "--home", self.server.home, file)
        self.assertIn(f"127.0.0.1:{port}: another server\n", said)

    def test_config(self) -> None:
        """The configuration file that is named says where the server listens."""
        config = self.written(b"[server]\nport = %d\n" % self.server.port)
        said = self.ended(
            *(0, "import", "--home", self.server.home, "--config", config),
            self.written(TWO),
        )
        self.assertIn("imported 2 queues, 1400 messages\n", said)

    def test_progress(self) -> None:
        """Rate and time left are told."""
        self.patch(ratelimit.Progress.__init__, "__defaults__", (monotonic, 0.0, None))
        said = self.imported(TWO)
        self.assertRegex(said, r"1 queues, 1400 messages, \d+/s, 0 s left\n")

    def test_pipe(self) -> None:
        """What comes from a pipe is imported as well, and cannot be gone on with."""
        reading, writing = os.pipe()

        def write() -> None:
            with open(writing, "wb") as file:
                file.write(TWO)

        thread = threading.Thread(target=write)
        thread.start()
        self.addCleanup(os.close, reading)
        where = "import", "--server", f"127.0.0.1:{self.server.port}"
        said = self.ended(0, *where, f"/dev/fd/{reading}")
        thread.join()
        self.assertIn("imported 2 queues, 1400 messages\n", said)
        said = self.ended(2, *where, "--resume", "/dev/null")
        self.assertEqual(said, "memq import: --resume needs a FILE\n")
        said = self.ended(1, *where, "/dev/null")
        self.assertIn("line 1: the file is cut, its last line is missing\n", said)
        self.assertIn("imported for good: nothing\n", said)


class NameTests(OnlineTestCase):
    """Names of queues that are to be exported beside a server."""

    def test_missing(self) -> None:
        """A queue that the server has not is told before anything is copied."""
        self.server.put(b"q", b"a")
        home = self.server.home
        words = "export", "--home", home, "--output", self.path()
        why = f"memq export: --home {home}: there is no queue none\n"
        self.name(f"127.0.0.1:{self.server.port}")
        self.assertEqual(self.ended(1, *words, "q", "none"), why)
        for name in ("no?", "no ne"):
            said = self.ended(1, *words, name)
            self.assertIn("a copy is exported", said)
            self.assertIn("there is no queue", said)
        self.assertIn("exported 1 queue", self.ended(0, *words, "q"))

    def test_unknown(self) -> None:
        """Where the server cannot be asked, the copy tells."""
        self.name("/none/socket")
        words = "export", "--home", self.server.home, "--output", self.path()
        said = self.ended(1, *words, "none")
        self.assertIn("a copy is exported", said)
        self.assertIn("there is no queue none", said)


class RefusedTests(OnlineTestCase):
    """What is not imported."""

    def test_there(self) -> None:
        """A queue that has messages is refused, but not with --append."""
        self.server.put(b"b", b"x")
        said = self.imported(TWO, status=1)
        line = "imported for good: up to line 703; --resume goes on behind that\n"
        self.assertIn(line, said)
        self.assertIn("SERVER_ERROR import: queue b is there and has messages", said)
        self.assertEqual(self.server.counts(), {b"a": (701, 1), b"b": (1, 0)})
        self.imported(export(queue(b"b", *MANY)), "--append")
        self.assertEqual(self.server.counts()[b"b"], (701, 0))
        bodies = [b"x", *(body.body for body in MANY)]
        self.assertEqual(self.server.take(b"b"), bodies)

    def test_cut(self) -> None:
        """Of a file that is cut whole queues are there, and a line says so."""
        said = self.imported(TWO[:-20_000], status=1)
        self.assertIn("imported for good: up to line 703; --resume goes on", said)
        self.assertRegex(said, r"memq import: line \d+: it is cut\n$")
        self.assertEqual(self.server.counts(), {b"a": (701, 1)})

    def test_stopped(self) -> None:
        """A server that is gone is told, and so is that more may be imported."""
        send = Sender._send

        def stop(sender: Sender) -> None:
            self.patch(Sender, "_send", send)
            self.server.stop()
            send(sender)

        self.patch(Sender, "_send", stop)
        said = self.imported(TWO, status=1)
        self.assertIn("imported for good: nothing, perhaps more; --resume goes", said)
        self.assertIn("memq import: the server closed the connection", said)
        self.assertIn("no server: ", self.imported(TWO, status=1))

    def test_offline(self) -> None:
        """In a home without a server there is nothing to go on with."""
        words = "import", "--home", self.path(), "--resume"
        said = self.ended(2, *words, self.written(TWO))
        self.assertIn("--resume goes on in a server, and none runs", said)
        named = "import", "--home", self.path(), "--user", "ops"
        said = self.ended(2, *named, self.written(TWO))
        self.assertIn("--user is said to a server, and none runs on ", said)


class ResumeTests(OnlineTestCase):
    """Imports that are interrupted go on."""

    def test_whole(self) -> None:
        """Behind queues that were whole, whatever became of them since."""
        self.interrupt(8)
        said = self.imported(TWO, status=130)
        self.assertIn(
            "up to line 703, perhaps more; --resume goes on behind that", said
        )
        self.assertEqual(len(self.server.take(b"a")), 700)
        said = self.imported(TWO, "--resume")
        self.assertEqual(said, "memq import: imported 2 queues, 700 messages\n")
        self.assertEqual(self.server.counts(), {b"a": (701, 701), b"b": (701, 1)})
        said = self.imported(TWO, "--resume")
        self.assertEqual(said, "memq import: all of that is imported already\n")

    def test_appended(self) -> None:
        """In the middle of a queue that is appended to; and just before its end."""
        text = export(queue(b"a", *MANY), queue(b"b", *MANY))
        bodies = [body.body for body in MANY]
        for chunk in (1, 2, 6, 7, 8):
            self.server.put(b"a", b"x")
            self.interrupt(chunk)
            self.imported(text, "--append", status=130)
            self.imported(text, "--append", "--resume")
            self.assertEqual(self.server.take(b"a"), [b"x", *bodies])
            self.assertEqual(self.server.take(b"b"), bodies)

    def test_unsure(self) -> None:
        """Where messages may be there already behind the last line, that is told."""
        self.interrupt(8)
        self.imported(TWO, status=130)
        answer = Sender._answer

        def unsure(sender: Sender) -> tuple[int, list[bytes]]:
            self.patch(Sender, "_answer", answer)
            line, _ = answer(sender)
            return line, [b"unsure"]

        self.patch(Sender, "_answer", unsure)
        self.assertNotIn("twice", self.imported(TWO, status=1))
        self.patch(Sender, "_answer", unsure)
        said = self.imported(TWO, "--resume")
        self.assertIn("up to 128 behind line 703 may be there twice\n", said)
        self.assertIn("imported 2 queues", said)

    def test_large(self) -> None:
        """So it goes on behind each message, large ones among them."""
        sizes = 1, 60_000, 2
        some = [Body(0, 2, b"%d" % each * each) for each in sizes]
        text = export(queue(b"a", *some * 2))
        for chunk in (1, 3, 4, 6):
            self.server.put(b"a", b"x")
            self.interrupt(chunk)
            self.imported(text, "--append", status=130)
            self.imported(text, "--append", "--resume")
            bodies = [b"x", *(body.body for body in some * 2)]
            self.assertEqual(self.server.take(b"a"), bodies)

    def test_begun(self) -> None:
        """Without --resume it is another import."""
        self.interrupt(8)
        self.imported(TWO, status=130)
        self.assertIn("queue a is there", self.imported(TWO, status=1))
