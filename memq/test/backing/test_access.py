"""Access to a cluster: files that are read, and read again."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import URI

from memq.backing.access import ClusterAccess, QuietEndpoint
from memq.config.cluster import parseAddress
from memq.config.file import Config
from memq.errors import ConfigError
from memq.net.tlsclient import TLSEndpoint
from memq.rabbitmq.telling import Telling
from memq.test.support.certificates import files


class AccessTests(SynchronousTestCase):
    """Passwords and authorities."""

    def setUp(self) -> None:
        """Have a file with a password."""
        self.path: str = os.path.abspath(self.mktemp())
        self.write("one")

    def write(self, password: str) -> None:
        """Write a password."""
        with open(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(password)

    def access(self, url: str, **more: Any) -> ClusterAccess:
        """Return what options say."""
        names = "rabbitmq-password-file", "rabbitmq-ca", "rabbitmq-management"
        options: Any = {**dict.fromkeys(names), "rabbitmq": parseAddress(url)}
        for name, value in more.items():
            options[f"rabbitmq-{name}"] = value
        return ClusterAccess(options)

    def connected(self, access: ClusterAccess) -> tuple[Any, Any]:
        """Return what asks a cluster."""
        reactor: Any = MemoryReactorClock()
        return access.connect(reactor)

    def test_inURL(self) -> None:
        """A password may stand in the URL; then there is nothing to be read."""
        access = self.access("amqp://u:p@a,b/v")
        self.assertEqual(access.paths, [])
        cluster, telling = self.connected(access)
        self.assertEqual([each.name for each in cluster.nodes], ["a:5672", "b:5672"])
        self.assertEqual(cluster.parameters.credentials.password, "p")
        self.assertEqual(telling._places, ["http://a:15672", "http://b:15672"])
        access.prepare(Config())()
        self.assertEqual(cluster.parameters.credentials.password, "p")

    def test_inFile(self) -> None:
        """A password in a file is read again, and holds when that is told."""
        access = self.access("amqp://u@a", **{"password-file": self.path})
        self.assertEqual(access.paths, [self.path])
        cluster, telling = self.connected(access)
        self.write("two")
        asked: list[str] = []

        def ask(telling: Telling) -> Deferred[Any]:
            [words] = telling._headers.getRawHeaders("authorization", ())
            asked.append(words)
            return succeed(([], []))

        self.patch(Telling, "policies", ask)
        access.policies()
        hold = access.prepare(Config())
        # Rules are compared before that holds.
        access.policies()
        self.assertEqual(asked, ["Basic dTpvbmU=", "Basic dTp0d28="])
        self.assertEqual(cluster.parameters.credentials.password, "one")
        hold()
        self.assertEqual(cluster.parameters.credentials.password, "two")
        [words] = telling._headers.getRawHeaders("authorization")
        self.assertEqual(words, "Basic dTp0d28=")
        os.chmod(self.path, 0o644)
        self.assertRaises(ConfigError, access.prepare, Config())

    def test_tls(self) -> None:
        """Authorities are read again; nodes and their API are verified by them."""
        access = self.access("amqps://u:p@a", ca=files().authority.path)
        self.assertEqual(access.paths, [files().authority.path])
        cluster, _ = self.connected(access)
        endpoint = cluster.nodes[0].endpoint
        self.assertIsInstance(endpoint, TLSEndpoint)
        before = endpoint.context
        access.prepare(Config())()
        self.assertIsNot(endpoint.context, before)
        api: Any = access._doors.endpointForURI(URI.fromBytes(b"https://a:15671/api"))
        self.assertIs(api._beneath.context, endpoint.context)
        self.assertEqual(api._beneath.host, "a")

    def test_management(self) -> None:
        """The API may be elsewhere, and have TLS where AMQP has none, or not."""
        access = self.access("amqp://u:p@a", management=("https://b:1", "http://c:2"))
        cluster, telling = self.connected(access)
        self.assertIsInstance(cluster.nodes[0].endpoint, HostnameEndpoint)
        self.assertEqual(telling._places, ["https://b:1", "http://c:2"])
        plain: Any = access._doors.endpointForURI(URI.fromBytes(b"http://c:2/api"))
        self.assertIsInstance(plain._beneath, HostnameEndpoint)

    def test_quiet(self) -> None:
        """A connection to the API has no line in the log."""
        connected: Deferred[Any] = Deferred()
        beneath: Any = HostnameEndpoint(MemoryReactorClock(), b"a", 1)
        beneath.connect = lambda factory: connected
        factory = Factory()
        self.assertIs(QuietEndpoint(beneath).connect(factory), connected)
        self.assertFalse(factory.noisy)
