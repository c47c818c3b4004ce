"""Who a client is: what is said to which server, and TLS."""

from __future__ import annotations

import io
import os
import socket
import ssl
import sys
from argparse import ArgumentParser
from threading import Thread
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from memq.client.address import Address, connectTo
from memq.client.connection import (
    Connection,
    ConnectionLost,
    ServerRefused,
    advised,
    refusal,
)
from memq.client.identity import CHOICES, Identity, addIdentity
from memq.errors import CommandError
from memq.test.support.certificates import files
from memq.test.support.commandline import Script
from memq.test.support.servers import scratch
from testkit.servers import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

UNKNOWN = b"CLIENT_ERROR unauthenticated\r\n"


class IdentityTestCase(SynchronousTestCase):
    """Has a file with a secret."""

    def setUp(self) -> None:
        """Write it."""
        self.path = os.path.abspath(self.mktemp())
        self.write(b"pass word\r\nmore\n")

    def write(self, text: bytes, mode: int = 0o600) -> None:
        """Write the file."""
        with open(self.path, "wb") as file:
            file.write(text)
        os.chmod(self.path, mode)

    def ops(self, **more: str) -> Identity:
        """Return one with a user and a file."""
        return Identity({"user": "ops", "passwordFile": self.path, **more}, {})


class EnterTests(IdentityTestCase):
    """What is said to a server."""

    def enter(self, identity: Identity, *replies: bytes) -> bytes:
        """Say who one is; return what was sent."""
        script = Script(self, *replies)
        with script.connection() as connection:
            identity.enter(connection)
        return script.sent

    def refused(self, identity: Identity, *replies: bytes) -> CommandError:
        """Return why one is not let in."""
        error: CommandError = self.assertRaises(
            CommandError, self.enter, identity, *replies
        )
        return error

    def test_nobody(self) -> None:
        """Without a user nothing is said."""
        self.assertEqual(self.enter(Identity({}, {})), b"")

    def test_asked(self) -> None:
        """A server that wants to know is told, by the first line of the file."""
        sent = self.enter(self.ops(), UNKNOWN, b"", b"STORED\r\n")
        said = b"set auth 0 0 13\r\nops pass word\r\n"
        self.assertEqual(sent, b"version\r\n" + said)

    def test_notAsked(self) -> None:
        """One that does not want to know is told no secret."""
        self.assertEqual(self.enter(self.ops(), b"VERSION 1.0\r\n"), b"version\r\n")

    def test_wrong(self) -> None:
        """A user or a secret that is wrong is refused in one line."""
        for reply in (b"CLIENT_ERROR authentication failure\r\n", b"END\r\n"):
            error = self.refused(self.ops(), UNKNOWN, b"", reply)
            words = "user ops: the server says that this or the password is wrong"
            self.assertEqual((str(error), error.status), (words, 3))

    def test_lost(self) -> None:
        """A server that ends the connection does so here, too."""
        self.assertIsInstance(self.refused(self.ops(), UNKNOWN), ConnectionLost)

    def test_files(self) -> None:
        """A file that others can read, or that is not there, is refused by its name."""
        self.write(b"x", 0o644)
        error = self.refused(self.ops(), UNKNOWN)
        self.assertIn(f"--password-file: {self.path}: has secrets", str(error))
        os.remove(self.path)
        error = self.refused(self.ops(), UNKNOWN)
        words = f"--password-file: {self.path}: No such file or directory"
        self.assertEqual((str(error), error.status), (words, 2))

    def test_typed(self) -> None:
        """Without a file it is typed, once, where somebody can type."""
        identity = Identity({"user": "ops"}, {})
        self.patch(sys, "stdin", io.StringIO())
        error = self.refused(identity, UNKNOWN)
        self.assertEqual(str(error), "--user ops needs --password-file")
        asked: list[str] = []

        def getpass(prompt: str) -> str:
            asked.append(prompt)
            return "typed"

        def ended(prompt: str) -> str:
            raise EOFError

        terminal = io.StringIO()
        self.patch(terminal, "isatty", lambda: True)
        self.patch(sys, "stdin", terminal)
        self.patch(sys, "stderr", terminal)
        self.patch(__import__("getpass"), "getpass", getpass)
        for _ in range(2):
            sent = self.enter(identity, UNKNOWN, b"", b"STORED\r\n")
            self.assertTrue(sent.endswith(b"ops typed\r\n"))
        self.assertEqual(asked, ["Password of ops: "])
        self.patch(__import__("getpass"), "getpass", ended)
        error = self.refused(Identity({"user": "ops"}, {}), UNKNOWN)
        self.assertEqual(str(error), "no password was typed")

    def test_hint(self) -> None:
        """A server that wants to know, and is not told, says what would do."""
        error = refusal(UNKNOWN)
        self.assertIsInstance(error, ServerRefused)
        self.assertIn("say who you are: --user", str(error))
        # A message that is pushed is a login to it, and a wrong one.
        for why in (b"bad authentication token format", b"authentication failure"):
            self.assertIn("; say who you are: ", advised(b"CLIENT_ERROR " + why))
        self.assertEqual(advised(b"NOT_STORED"), "NOT_STORED")

    def test_variables(self) -> None:
        """Variables say what options do not."""
        variables = {"MEMQ_USER": "eve", "MEMQ_PASSWORD_FILE": self.path}
        for given, user in (({}, b"eve"), ({"user": "ops"}, b"ops")):
            sent = self.enter(Identity(given, variables), UNKNOWN, b"", b"STORED\r\n")
            self.assertIn(b"\r\n" + user + b" pass", sent)

    def test_options(self) -> None:
        """Each choice is an option."""
        parser = ArgumentParser()
        addIdentity(parser)
        words = ["--user=a", "--password-file=b", "--tls", "--ca=c"]
        options = vars(parser.parse_args([*words, "--certificate=d", "--key=e"]))
        expected = ["a", "b", True, "c", "d", "e"]
        self.assertEqual([options[name] for name in CHOICES], expected)


class TLSTests(IdentityTestCase):
    """TLS with a server of the standard library."""

    def serve(self, wants: int = ssl.CERT_NONE) -> Address:
        """Return where a server answers one command with the name of its client."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files().server)
        context.load_verify_locations(files().authority.path)
        context.verify_mode = ssl.VerifyMode(wants)

        def run() -> None:
            try:
                accepted, _ = listener.accept()
                accepted.settimeout(PATIENCE)
                with context.wrap_socket(accepted, server_side=True) as connection:
                    connection.recv(100)
                    subject = (connection.getpeercert() or {}).get("subject", ())
                    connection.sendall(f"VERSION {subject}\r\n".encode())
            except ssl.SSLError:
                accepted.close()

        self.start(run)
        return Address("", "127.0.0.1", listener.getsockname()[1])

    def start(self, run: Callable[[], None]) -> None:
        """Run something in a thread until the test ends."""
        thread = Thread(target=run)
        thread.start()
        self.addCleanup(thread.join, PATIENCE)

    def version(self, identity: Identity, place: Address) -> bytes:
        """Return what a server answers."""
        with identity.connect([place]) as connection:
            return connection.ask(b"version")

    def test_spoken(self) -> None:
        """TLS is spoken, with an own certificate if there is one."""
        ca = files().authority.path
        answer = self.version(Identity({"ca": ca}, {}), self.serve())
        self.assertEqual(answer, b"VERSION ()")
        certificate, key = files().client
        given = {"ca": ca, "certificate": certificate, "key": key}
        answer = self.version(Identity(given, {}), self.serve(ssl.CERT_REQUIRED))
        self.assertIn(b"Shop-1", answer)

    def test_untrusted(self) -> None:
        """A server that is not trusted is told nothing, and one line says so."""
        variables = {"MEMQ_TLS": "yes"}
        place = self.serve()
        error = self.assertRaises(
            CommandError, self.version, Identity({}, variables), place
        )
        words = f"no server: {place}: its certificate is not trusted: "
        self.assertIn(words, str(error))

    def test_plain(self) -> None:
        """A server without TLS is told nothing, and one line says so."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            place = Address("", *listener.getsockname())

            def run() -> None:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(10_000)
                    connection.sendall(b"ERROR\r\n")

            self.start(run)
            context = Identity({"tls": True}, {}).context()
            error = self.assertRaises(CommandError, connectTo, [place], context)
        self.assertIn(f"no server: {place}: no TLS: ", str(error))

    def test_sockets(self) -> None:
        """By a UNIX socket there is none."""
        path = os.path.join(scratch(self), "s")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            connection = Identity({"tls": True}, {}).connect([Address(path)])
            with connection, listener.accept()[0]:
                self.assertIsInstance(connection, Connection)

    def test_off(self) -> None:
        """There is none where nobody asks for it."""
        for value in ("", "0", "no", "No"):
            self.assertIsNone(Identity({}, {"MEMQ_TLS": value}).context())

    def test_refused(self) -> None:
        """Files that are none are refused by their options."""
        missing = "No such file or directory"
        for given, words in (
            ({"key": "k"}, "--key needs --certificate"),
            ({"ca": "/none"}, f"--ca /none: {missing}"),
            ({"ca": self.path}, f"--ca {self.path}: NO_CERTIFICATE_OR_CRL_FOUND"),
            (
                {"certificate": "/none"},
                f"--certificate /none: {missing}",
            ),
            ({"certificate": self.path}, f"--certificate {self.path}: "),
        ):
            error = self.assertRaises(CommandError, Identity(given, {}).context)
            self.assertIn(words, str(error))
            self.assertEqual(error.status, 2)

    def test_closed(self) -> None:
        """A connection that is not let in is closed."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            place = Address("", *listener.getsockname())
            seen: list[bytes] = []

            def run() -> None:
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(UNKNOWN + b"CLIENT_ERROR no\r\n")
                    while data := connection.recv(1000):
                        seen.append(data)

            thread = Thread(target=run)
            thread.start()
            self.assertRaises(CommandError, self.ops().connect, [place])
            thread.join(PATIENCE)
        self.assertIn(b"ops pass word", b"".join(seen))
