"""Real servers with TLS and users, as their files say, and with other files."""

from __future__ import annotations

import os
import socket
import ssl
from functools import partial
from threading import Event
from typing import TYPE_CHECKING
from urllib.request import urlopen

from twisted.trial.unittest import SynchronousTestCase

from memq.access.secrets import TokenHash
from memq.test.support.certificates import files
from memq.test.support.servers import ended, started, together
from memq.test.support.sessions import VERSION
from memq.test.support.tlsservers import TLSServer
from testkit.servers import PATIENCE
from testkit.wire import readAll, sets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testkit.wire import Wire

#: One connection of each of this many goes on through a reload.
CLIENTS = 8
#: Makes handshakes short, for a server.
HASTY = (
    "from memq.net import handshakes; handshakes.SECONDS = handshakes.INTERVAL = 0.1"
)
TOKEN = f'token = "{TokenHash.of(b"t0ken")}"'


class HandshakeTests(SynchronousTestCase):
    """Who gets in by TLS."""

    def test_versions(self) -> None:
        """TLS 1.2 and 1.3 are spoken, and nothing older."""
        server = TLSServer(self).start()
        for version in ("-tls1_2", "-tls1_3"):
            found = server.openssl(version)
            self.assertEqual(found.stdout, VERSION, found.stderr)
        found = server.openssl("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
        self.assertEqual(found.stdout, b"")
        self.assertNotEqual(found.returncode, 0)
        server.waitForLine("is closed on a port with TLS (1 such): TLS failed: ")

    def test_plain(self) -> None:
        """A client that does not speak TLS is closed without a word."""
        server = TLSServer(self).start()
        with server.plain() as client:
            client.sendall(b"version\r\n")
            self.assertEqual(readAll(client), b"")
        server.waitForLine("(1 such): it does not speak TLS")
        self.assertEqual(server.ask(b"version"), VERSION)

    def test_slow(self) -> None:
        """A handshake that is not finished in time ends, half-closed or not."""
        server = TLSServer(self, before=HASTY).start()
        for first in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"):
            with server.plain() as client:
                client.sendall(first)
                self.assertEqual(readAll(client), b"")
            with server.plain() as client:
                client.sendall(first)
                client.shutdown(socket.SHUT_WR)
                self.assertEqual(readAll(client), b"")

    def test_clientCertificate(self) -> None:
        """A client is who its certificate says; without one it does not get in."""
        server = TLSServer(self)
        server.write(
            'auth = "certificate"',
            f'client-ca = "{files().authority.path}"\nclient-certificate = "required"',
            '[user.shop]\ncertificate = ["CN=Shop-1"]\nwrite = ["orders"]',
        )
        server.start()
        server.context = files().clientContext(*files().client)
        self.assertEqual(server.ask(*_set(b"orders")), b"STORED\r\n")
        self.assertEqual(server.ask(*_set(b"mails")), b"CLIENT_ERROR not allowed\r\n")
        server.context = files().clientContext()
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            server.ask(b"version")

    def test_password(self) -> None:
        """A client can say who it is over TLS."""
        server = TLSServer(self)
        server.write(more=f'[user.shop]\n{TOKEN}\nrole = "admin"')
        server.start()
        told = server.ask(*_set(b"x", b"shop t0ken"), *_set(b"q"))
        self.assertEqual(told, b"STORED\r\n" * 2)
        with server.wire() as wire:
            self.assertEqual(wire.ask(b"version"), b"CLIENT_ERROR unauthenticated")
            told = wire.ask(b"\r\n".join(_set(b"x", b"shop other")))
            self.assertEqual(told, b"CLIENT_ERROR authentication failure")

    def test_large(self) -> None:
        """A body of 64 MiB comes and goes as it is."""
        server = TLSServer(self, "--max-body=64M").start()
        body = os.urandom(1 << 20) * 64
        server.put(b"q", body)
        [found] = server.take(b"q")
        self.assertTrue(found == body)

    def test_web(self) -> None:
        """The page has TLS, too, if that is said."""
        server = TLSServer(self, "--web-listen=127.0.0.1:0", "--web-tls").start()
        line = server.waitForLine("The web is on 127.0.0.1:")
        where = f"https://localhost:{line.rpartition(':')[2]}/metrics"
        with urlopen(where, timeout=PATIENCE, context=server.context) as reply:
            told = reply.read()
        self.assertIn(b"\nmemq_tls_certificate_expiry_timestamp_seconds 1", told)
        self.assertIn(b"\nmemq_tls_handshakes_failed_total 0\n", told)


class ReloadTests(SynchronousTestCase):
    """Files that are read again."""

    def test_underLoad(self) -> None:
        """A new certificate drops no connection, and a bad one is not taken."""
        server = TLSServer(self).start()
        wires = [server.wire() for _ in range(CLIENTS)]
        isOver = Event()
        done: list[int] = []

        def run(number: int, wire: Wire) -> None:
            queue, count = b"q%d" % number, 0
            while count < 20 or not isOver.is_set():
                count += 1
                body = b"%d" % count
                wire.send(sets(queue, body) + b"get %b\r\n" % queue)
                self.assertEqual(wire.line(), b"STORED")
                value = wire.value()
                self.assertEqual(value and value.body, body)
            done.append(count)

        def change() -> None:
            try:
                before = server.number()
                server.show(*files().authority.issue("localhost", address="127.0.0.1"))
                self.assertEqual(server.reload(), "OK")
                now = server.number()
                self.assertNotEqual(now, before)
                server.show(files().server[0], files().client[1])
                told = server.reload(2)
                self.assertIn("is not the key of", told)
                self.assertEqual(server.number(), now)
                server.waitForLine("; all stays as it was")
            finally:
                isOver.set()

        works = [partial(run, *each) for each in enumerate(wires)]
        together(change, *works)
        self.assertEqual(len(done), CLIENTS)
        for wire in wires:
            wire.close()

    def test_users(self) -> None:
        """Users are read again; with a mistake, all stays as it was."""
        server = TLSServer(self)
        server.write(more=f"[user.shop]\n{TOKEN}")
        server.start()
        known = _set(b"x", b"shop t0ken")
        refused = b"STORED\r\nCLIENT_ERROR not allowed\r\n"
        self.assertEqual(server.ask(*known, *_set(b"q")), refused)
        server.write(more=f'[user.shop]\n{TOKEN}\nwrite = ["q"]')
        self.assertEqual(server.reload(), "OK")
        self.assertEqual(server.ask(*known, *_set(b"q")), b"STORED\r\n" * 2)
        for nth, more, why in (
            (2, f'[user.shop]\n{TOKEN}\nwrite = "q"', 'write = "q": must be a list'),
            (3, "", "there would be no users"),
        ):
            server.write(more=more)
            self.assertIn(why, server.reload(nth))
            self.assertEqual(server.ask(*known, *_set(b"q")), b"STORED\r\n" * 2)
        server.write(more=f"[user.shop]\n{TOKEN}")
        os.chmod(server.config, 0o644)
        self.assertIn(f"chmod o= {server.config}", server.reload(4))


class StartTests(SynchronousTestCase):
    """What refuses the start, in one line."""

    def refused(self, server: TLSServer, *options: str) -> str:
        """Return why a server does not start."""
        found = ended(server.home, "--config", server.config, *options)
        self.assertEqual(found.returncode, 1, found.stdout)
        [line] = found.stderr.splitlines()
        return line

    def test_readable(self) -> None:
        """A secret that others may read is named, and what to do."""
        server = TLSServer(self)
        key = os.path.join(server.directory, "key.pem")
        os.chmod(key, 0o644)
        self.assertIn(
            f"a key must be 0640 at most: chmod o= {key}", self.refused(server)
        )
        os.chmod(key, 0o600)
        server.write(more=f"[user.shop]\n{TOKEN}")
        os.chmod(server.config, 0o644)
        self.assertIn(f"; chmod o= {server.config}", self.refused(server))
        self.assertNotIn(TOKEN[-9:], self.refused(server))
        os.chmod(server.config, 0o600)
        for name, option in (("users", "--users"), ("auth", "--auth-file")):
            path = os.path.join(server.directory, name)
            with open(path, "w", encoding="ascii"):
                pass
            os.chmod(path, 0o604)
            self.assertIn(f"; chmod o= {path}", self.refused(server, option, path))

    def test_held(self) -> None:
        """A server that is refused for one listener leaves nothing of the others."""
        server = TLSServer(self)
        path = os.path.join(server.directory, "s")
        table = f'[[listen]]\naddress = "unix:{path}"\n[[listen]]\naddress = "x:1"\n'
        server.write(more=table)
        self.assertIn(' line 12: address = "x:1": must be a', self.refused(server))
        self.assertFalse(os.path.exists(path))

    def test_session(self) -> None:
        """The sessions of memcached's own test go as they do there, to the byte."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w", encoding="ascii") as file:
            file.write("foo:bar\nbaaaz:quux\n")
        os.chmod(path, 0o600)
        server = started(self, "--auth-file", path)
        for steps in (
            (
                (_set(b"foo"), b"CLIENT_ERROR bad authentication token format"),
                ((b"get foo",), b"CLIENT_ERROR unauthenticated"),
                (_set(b"foo", b"foo bab"), b"CLIENT_ERROR authentication failure"),
                (_set(b"foo", b"foo bar"), b"STORED"),
                (_set(b"toast"), b"STORED"),
                ((b"get toast",), b"VALUE toast 0 2"),
            ),
            (
                (_set(b"foo", b"baaaz quux"), b"STORED"),
                (_set(b"toast2", b"ho"), b"STORED"),
                ((b"get toast2",), b"VALUE toast2 0 2"),
            ),
        ):
            with server.wire() as wire:
                for lines, answer in steps:
                    self.assertEqual(wire.ask(b"\r\n".join(lines)), answer)
                self.assertIn(wire.line(), (b"hi", b"ho"))
                self.assertEqual(wire.line(), b"END")

    def test_authFile(self) -> None:
        """Memcached's file is taken as it is, and its users may do everything."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w", encoding="ascii") as file:
            file.write("ann:pass word\n")
        os.chmod(path, 0o600)
        server = started(self, "-Y", path)
        told = server.ask(*_set(b"x", b"ann pass word"), *_set(b"q"), b"delete q")
        self.assertEqual(told, b"STORED\r\nSTORED\r\nDELETED\r\n")
        with server.wire() as wire:
            self.assertEqual(wire.ask(b"get q"), b"CLIENT_ERROR unauthenticated")
        log = "\n".join(server.log)
        self.assertNotIn("pass word", log)
        with open(f"/proc/{server.pid}/limits", encoding="ascii") as file:
            self.assertRegex(file.read(), r"Max core file size +0 ")


def _set(queue: bytes, body: bytes = b"hi") -> Sequence[bytes]:
    return b"set %b 0 0 %d" % (queue, len(body)), body
