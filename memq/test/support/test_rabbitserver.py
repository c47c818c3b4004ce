"""Fake nodes over TCP speak as they do in memory, however bytes come."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactor, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from memq.rabbitmq.links.connections import AMQPConnection, AMQPProtocol
from memq.test.support.fakerabbit import FakeCluster, FakeTransport
from memq.test.support.rabbitserver import API, Input, NodeConnection, Settings, serve


class Owner:
    """Hears of a connection."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def opened(self, amqp: Any) -> None:
        """Note it."""
        self.heard.append("opened")

    failed: Any = None
    closed: Any = None


class NodeTests(SynchronousTestCase):
    """Connections to nodes."""

    def test_bytes(self) -> None:
        """Frames come in whatever pieces."""
        cluster, owner = FakeCluster(), Owner()
        node = NodeConnection(cluster.nodes[0])
        amqp = AMQPConnection(cluster.cluster.parameters, Clock(), owner)
        client = AMQPProtocol(amqp)
        near: Any = FakeTransport()
        far: Any = StringTransport()
        client.makeConnection(near)
        node.makeConnection(far)
        for _ in range(8):
            said, told = near.value(), far.value()
            near.clear()
            far.clear()
            for byte in said:
                node.dataReceived(bytes([byte]))
            client.dataReceived(told)
        self.assertEqual(owner.heard, ["opened"])
        self.assertEqual(len(cluster.peers()), 1)
        for _ in range(2):
            node.connectionLost(Failure(ConnectionDone()))
            self.assertTrue(far.disconnecting)
            self.assertEqual(cluster.peers(), [])


class APITests(SynchronousTestCase):
    """The management API."""

    def asked(self, path: str, password: str, settings: Settings) -> tuple[int, bytes]:
        """Return code and body of an answer."""
        cluster = FakeCluster()
        cluster.declare("q")
        request: Any = DummyRequest([b""])
        request.path = path.encode()
        request.getHeader = lambda name: password.encode()
        body = API(cluster, settings).render(request)
        return request.responseCode or 200, body

    def test_answers(self) -> None:
        """What is asked of it is answered to the user alone."""
        right, settings = "Basic bWVtcTpzZWNyZXQ=", Settings(isKhepri=False, running=1)
        self.assertEqual(self.asked("/api/nodes", "Basic x", settings), (401, b"{}"))
        for path, body in (
            ("overview", b'{"rabbitmq_version": "4.0.5"}'),
            ("feature-flags", b'[{"name": "khepri_db", "state": "disabled"}]'),
            ("policies/v", b"[]"),
        ):
            self.assertEqual(self.asked(f"/api/{path}", right, settings), (200, body))
        _, body = self.asked("/api/feature-flags", right, Settings())
        self.assertIn(b"enabled", body)

    def test_serve(self) -> None:
        """Three nodes and the API have ports; a node's factory makes its protocol."""
        reactor: Any = MemoryReactor()
        self.assertEqual(len(serve(reactor, Settings())), 4)
        made = [each[1].buildProtocol(None) for each in reactor.tcpServers[:3]]
        self.assertEqual([type(each) for each in made], [NodeConnection] * 3)
        ended: list[str] = []
        reactor.stop = lambda: ended.append("stop")
        Input(reactor).connectionLost(Failure(ConnectionDone()))
        self.assertEqual(ended, ["stop"])
