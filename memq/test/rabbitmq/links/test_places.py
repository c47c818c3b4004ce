"""Tests for memq.rabbitmq.links.places."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from memq.config.cluster import parseAddress
from memq.errors import ConfigError
from memq.net.tlsclient import TLSEndpoint, clientContext
from memq.rabbitmq.links.places import makeCluster, readPassword


class ClusterTests(SynchronousTestCase):
    """What links take."""

    def test_plain(self) -> None:
        """Each node has its endpoint; user and virtual host are pika's parameters."""
        address = parseAddress("amqp://u@127.0.0.1:1,b/v")
        reactor: Any = MemoryReactorClock()
        nodes, parameters, _ = makeCluster(reactor, address, "p")
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
