"""Sockets that the service manager made."""

from __future__ import annotations

import os
import socket
import stat
import sys
import tempfile
from fcntl import F_DUPFD_CLOEXEC, fcntl
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from memq.errors import StartError
from memq.net import activation as module
from memq.net.activation import GivenListener, firstEnvironment, takeListeners
from memq.net.poller import Poller
from memq.test.net.test_listeners import Greeter
from testkit.servers import PATIENCE, Server

if TYPE_CHECKING:
    from collections.abc import Generator

#: Gives a descriptor to a command as a service manager does, and becomes it.
GIVE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="mine")
os.execv(sys.argv[2], sys.argv[2:])
"""


def listening(family: int, address: Any) -> socket.socket:
    """Return a socket that listens."""
    made = socket.socket(family, socket.SOCK_STREAM)
    made.bind(address)
    made.listen()
    return made


def hear(client: socket.socket) -> bytes:
    """Return all that is said until it is closed."""
    with client:
        return b"".join(iter(lambda: client.recv(65536), b""))


class SocketTestCase(TestCase):
    """A directory whose name is short enough for a socket."""

    timeout = PATIENCE

    def setUp(self) -> None:
        """Make it."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.path = os.path.join(directory.name, "socket")

    def listening(self, family: int, address: Any) -> socket.socket:
        """Return a socket that listens until the test is over."""
        made = listening(family, address)
        self.addCleanup(made.close)
        return made

    def visit(self, parent: socket.socket) -> socket.socket:
        """Return a new client of a socket."""
        client = socket.socket(parent.family, socket.SOCK_STREAM)
        client.settimeout(PATIENCE)
        client.connect(parent.getsockname())
        return client


class GivenTests(SocketTestCase):
    """A socket that listens already."""

    @inlineCallbacks
    def assertServed(
        self, parent: socket.socket, kind: bytes
    ) -> Generator[Deferred[Any], Any, None]:
        """Assert that clients get in that wait, that come, and after the end, too.

        :param kind: of their connections.
        """
        from twisted.internet import reactor

        early = self.visit(parent)
        for _ in range(2):
            listener = GivenListener(parent.dup())
            factory = Factory.forProtocol(Greeter)
            port = yield listener.listen(Poller(reactor), factory)
            self.assertIn(os.path.basename(self.path), str(port.getHost()))
            kinds = [(yield deferToThread(hear, early))]
            kinds.append((yield deferToThread(hear, self.visit(parent))))
            self.assertEqual(kinds, [kind, kind])
            yield maybeDeferred(port.stopListening)
            early = self.visit(parent)
        early.close()

    @inlineCallbacks
    def test_TCP(self) -> Generator[Deferred[Any], Any, None]:
        """It may be one of IPv4 or of IPv6, which sends at once."""
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            parent = self.listening(family, (host, 0))
            self.path = f"port={parent.getsockname()[1]}"
            yield self.assertServed(parent, b"EagerServer")

    @inlineCallbacks
    def test_UNIX(self) -> Generator[Deferred[Any], Any, None]:
        """It may be a UNIX socket, whose path and permissions stay as they are."""
        parent = self.listening(socket.AF_UNIX, self.path)
        os.chmod(self.path, 0o640)
        before = os.stat(self.path)
        yield self.assertServed(parent, b"EagerUNIXServer")
        after = os.stat(self.path)
        self.assertEqual(stat.S_IMODE(after.st_mode), 0o640)
        self.assertEqual(after.st_ino, before.st_ino)

    @inlineCallbacks
    def test_abstract(self) -> Generator[Deferred[Any], Any, None]:
        """It may be one without a path."""
        parent = self.listening(socket.AF_UNIX, f"\0{self.path}")
        yield self.assertServed(parent, b"EagerUNIXServer")

    def test_kept(self) -> None:
        """No child gets it, and nothing waits for it."""
        given = self.listening(socket.AF_UNIX, self.path)
        given.set_inheritable(True)
        listener = GivenListener(given)
        self.assertFalse(given.get_inheritable())
        self.assertFalse(given.getblocking())
        listener.close()
        self.assertEqual(given.fileno(), -1)


class TakeTests(SynchronousTestCase):
    """Sockets that the environment names."""

    def setUp(self) -> None:
        """Have no environment but the test's."""
        self.environment: dict[str, str] = {}
        self.patch(os, "environ", self.environment)

    def take(self, *given: socket.socket, **changed: str) -> list[GivenListener]:
        """Take sockets that stand side by side."""
        if given:
            self.patch(module, "FIRST", given[0].fileno())
        first = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(given))}
        first |= {"LISTEN_FDNAMES": "a:b", **changed}
        self.environment |= {"HOME": "/", **first}
        try:
            return takeListeners(first)
        finally:
            self.assertEqual(self.environment, {"HOME": "/"})

    def refused(self, given: socket.socket) -> str:
        """Return why a socket is refused; it is left open."""
        error = str(self.assertRaises(StartError, self.take, given))
        os.fstat(given.fileno())
        start = (
            f"LISTEN_FDS: descriptor {given.fileno()} must be a stream socket that "
            "listens, of IPv4, IPv6 or UNIX: "
        )
        self.assertTrue(error.startswith(start), error)
        return error.removeprefix(start)

    def test_taken(self) -> None:
        """All of them are taken, in their order."""
        parents = [listening(socket.AF_INET, ("127.0.0.1", 0)) for _ in range(2)]
        # Nobody else is up there, so they stand side by side.
        numbers = [fcntl(parent, F_DUPFD_CLOEXEC, 500) for parent in parents]
        self.patch(module, "FIRST", numbers[0])
        listeners = self.take(LISTEN_FDS="2")
        for listener, number, parent in zip(listeners, numbers, parents, strict=True):
            self.addCleanup(listener.close)
            self.addCleanup(parent.close)
            self.assertEqual(listener.given.fileno(), number)
            self.assertEqual(listener.given.getsockname(), parent.getsockname())

    def test_none(self) -> None:
        """It may be that none is given, or to another process."""
        self.assertEqual(self.take(), [])
        self.assertEqual(self.take(LISTEN_PID="1", LISTEN_FDS="1"), [])
        self.assertEqual(takeListeners({}), [])

    def test_noNumber(self) -> None:
        """How many there are is to be a number."""
        for count in ("", "-1", "one", "10000"):
            error = self.assertRaises(StartError, self.take, LISTEN_FDS=count)
            self.assertEqual(
                str(error), f"LISTEN_FDS {count}: must be how many sockets there are"
            )

    def test_others(self) -> None:
        """Sockets of other kinds are refused, those that do not listen, and files."""
        inet, unix = socket.AF_INET, socket.AF_UNIX
        datagrams = socket.socket(inet, socket.SOCK_DGRAM)
        deaf = socket.socket(inet, socket.SOCK_STREAM)
        packets = socket.socket(unix, socket.SOCK_SEQPACKET)
        packets.bind("")
        packets.listen()
        file = socket.socket(inet, socket.SOCK_STREAM)
        with open("/dev/null") as null:
            os.dup2(null.fileno(), file.fileno())
        for given, why in (
            (datagrams, "it is another one"),
            (deaf, "it is another one"),
            (packets, "it is another one"),
            (file, "Socket operation on non-socket"),
        ):
            self.addCleanup(given.close)
            self.assertEqual(self.refused(given), why)

    def test_notOpen(self) -> None:
        """So is a descriptor that is not open."""
        self.patch(module, "FIRST", 1 << 20)
        error = self.assertRaises(StartError, self.take, LISTEN_FDS="1")
        self.assertIn("UNIX: Bad file descriptor", str(error))

    def test_firstEnvironment(self) -> None:
        """It counts what the process began with; without /proc nothing is given."""
        self.assertIn("PATH", firstEnvironment())
        self.patch(module, "PROC", "/none")
        self.assertEqual(firstEnvironment(), {})


class ServerTests(SocketTestCase):
    """Real servers, one after the other, on a socket that stays."""

    def started(self, parent: socket.socket, *options: str) -> Server:
        """Return a server that was given a socket, when it listens."""
        server = Server(os.path.join(self.directory, "home"), *options)
        server.under = (sys.executable, "-c", GIVE, str(parent.fileno()))
        server.passed = (parent.fileno(),)
        self.addCleanup(server.stop)
        server.launch().waitForLine("Listening on ")
        return server

    def assertWaits(self, parent: socket.socket, *options: str) -> Server:
        """Assert that a client that comes between two servers is answered.

        :return: the second server.
        """
        client = self.visit(parent)
        client.sendall(b"set q 0 0 1\r\nx\r\nquit\r\n")
        server = self.started(parent, *options)
        self.assertEqual(hear(client), b"STORED\r\n")
        self.assertEqual(server.stop(), 0)
        client = self.visit(parent)
        client.sendall(b"get q\r\nquit\r\n")
        server = self.started(parent, *options)
        self.assertEqual(hear(client), b"VALUE q 0 1\r\nx\r\nEND\r\n")
        return server

    def test_TCP(self) -> None:
        """Clients of a TCP port wait for the next server; --port is not used."""
        parent = self.listening(socket.AF_INET, ("127.0.0.1", 0))
        server = self.assertWaits(parent, "--endpoint", "tcp:1")
        server.waitForLine(f"Listening on 127.0.0.1:{parent.getsockname()[1]}")
        server.waitForLine(
            "The service manager says where to listen, and not --port, --endpoint"
        )

    def test_UNIX(self) -> None:
        """So do those of a UNIX socket, which stays where it is."""
        parent = self.listening(socket.AF_UNIX, self.path)
        server = self.assertWaits(parent)
        server.waitForLine(f"Listening on {self.path}")
        self.assertEqual(server.stop(), 0)
        self.assertTrue(os.path.exists(self.path))

    def test_named(self) -> None:
        """A table of the socket's name says what it asks of clients."""
        parent = self.listening(socket.AF_UNIX, self.path)
        config = os.path.join(self.directory, "memq.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write('[[listen]]\nname = "mine"\nauth = "peer"\n[user.a]\nunix = [')
            file.write(f'{os.getuid()}]\nwrite = ["q"]\n')
        server = self.started(parent, "--config", config)
        client = self.visit(parent)
        client.sendall(b"set q 0 0 1\r\nx\r\nget q\r\nquit\r\n")
        self.assertEqual(hear(client), b"STORED\r\nCLIENT_ERROR not allowed\r\n")
        self.assertEqual(server.stop(), 0)
