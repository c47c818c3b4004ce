"""Tests for memq.rabbitmq.links.places."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from memq.errors import ConfigError
from memq.net.tlsclient import TLSEndpoint, clientContext
from memq.rabbitmq.links.places import (
    Address,
    Place,
    makeCluster,
    parseAddress,
    readPassword,
)


class AddressTests(SynchronousTestCase):
    """What a URL says."""

    def test_whole(self) -> None:
        """A URL has nodes, a user with a password, and a virtual host."""
        self.assertEqual(
            Address(False, (Place("a", 1), Place("b.example", 65535)), "u", "p", "v"),
            parseAddress("amqp://u:p@a:1,b.example:65535/v"),
        )

    def test_defaults(self) -> None:
        """What is left out is what RabbitMQ has."""
        for end in ("", "/"):
            self.assertEqual(
                Address(False, (Place("a", 5672),), "guest", None, "/"),
                parseAddress(f"amqp://a{end}"),
            )
        self.assertEqual(
            Address(True, (Place("a", 5671),), "u", None, "v"),
            parseAddress("amqps://u@a/v"),
        )

    def test_escapes(self) -> None:
        """What a URL cannot have is escaped."""
        address = parseAddress("amqp://u%40x:p%3A%2F:@a/%2Fv")
        self.assertEqual(
            ("u@x", "p:/:", "/v"), (address.user, address.password, address.name)
        )

    def test_six(self) -> None:
        """An address of IPv6 stands in brackets."""
        [one, other] = parseAddress("amqp://[::1]:1,[fe80::2]").places
        self.assertEqual((Place("::1", 1), "[::1]:1"), (one, str(one)))
        self.assertEqual("[fe80::2]:5672", str(other))

    def test_wrong(self) -> None:
        """What is no URL is refused; no password is in what is said."""
        shape = "must be amqp://USER:PASSWORD@HOST:PORT,HOST:PORT/NAME"
        place = "must be HOST or HOST:PORT, with a port up to 65535"
        for url, words in {
            "http://a": shape,
            "amqp://": shape,
            "amqp://u:secret@a/v/w": shape,
            "amqp://u:secret@a?heartbeat=1": shape,
            "amqp://u:secret@a,": f": {place}",
            "amqp://u:secret@a:0": f"a:0: {place}",
            "amqp://a:65536": f"a:65536: {place}",
            "amqp://a b": f"a b: {place}",
            "amqp://a,b:1,a:5672": "must name each node once",
        }.items():
            error = self.assertRaises(ValueError, parseAddress, url)
            self.assertEqual(words, str(error))


class ClusterTests(SynchronousTestCase):
    """What links take."""

    def test_plain(self) -> None:
        """Each node has its endpoint; user and virtual host are pika's parameters."""
        address = parseAddress("amqp://u@127.0.0.1:1,b/v")
        reactor: Any = MemoryReactorClock()
        nodes, parameters = makeCluster(reactor, address, "p")
        self.assertEqual(["127.0.0.1:1", "b:5672"], [each.name for each in nodes])
        self.assertEqual(
            ["<HostnameEndpoint 127.0.0.1:1>", "<HostnameEndpoint b:5672>"],
            [repr(each.endpoint) for each in nodes],
        )
        self.assertEqual("v", parameters.virtual_host)
        self.assertEqual(
            ("u", "p"),
            (parameters.credentials.username, parameters.credentials.password),
        )

    def test_secure(self) -> None:
        """With a context connections have TLS, to the name that was written."""
        reactor: Any = MemoryReactorClock()
        context = clientContext(None)
        cluster = makeCluster(reactor, parseAddress("amqps://a"), "p", context)
        endpoint: Any = cluster.nodes[0].endpoint
        self.assertIsInstance(endpoint, TLSEndpoint)
        self.assertEqual("a", endpoint.host)


class PasswordTests(SynchronousTestCase):
    """Passwords in files."""

    def path(self, words: bytes) -> str:
        """Return a file with these words."""
        path: str = os.path.abspath(self.mktemp())
        with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
            file.write(words)
        return path

    def test_read(self) -> None:
        """The password is the first line."""
        for words in (b"s\xc3\xa9cret", b"s\xc3\xa9cret\r\nmore\n"):
            self.assertEqual("s\u00e9cret", readPassword(self.path(words)))

    def test_wrong(self) -> None:
        """Others must not read it, and it must be one."""
        for words, why in {
            b"\n": "must be the password",
            b"\xff": "must be UTF-8",
        }.items():
            path = self.path(words)
            error = self.assertRaises(ConfigError, readPassword, path)
            self.assertEqual(f"{path} line 1: {why}", str(error))
        path = self.path(b"xyzzy")
        os.chmod(path, 0o644)
        error = self.assertRaises(ConfigError, readPassword, path)
        self.assertNotIn("xyzzy", str(error))
