"""Fake nodes of RabbitMQ as a process: AMQP and the management API, over TCP.

Ports are free ones; a line says which: those of AMQP, node by node, and that of the
API.  It runs until its standard input ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.web.resource import Resource
from twisted.web.server import Site

from memq.test.support.fakerabbit import FakeCluster
from testkit.servers import PATIENCE, environment

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from memq.test.support.fakerabbit import FakeNode


class Settings(NamedTuple):
    """What the nodes are.

    :ivar running: how many nodes of three say that they run.
    :ivar password: that of user ``memq``.
    """

    isKhepri: bool = True
    running: int = 3
    password: str = "secret"


class Nodes:
    """Fake nodes, as a process that is started.

    :ivar places: where AMQP is spoken, as a URL has it.
    """

    def __init__(self, **settings: Any) -> None:
        """Start them.

        :param settings: see :class:`Settings`.
        """
        program = f"import sys; from {__name__} import main; main(sys.argv[1])"
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            text=True,
        )
        assert self._process.stdout is not None
        *ports, self._api = self._process.stdout.readline().split()
        self.places = ",".join(f"127.0.0.1:{port}" for port in ports)

    def options(self, path: str) -> list[str]:
        """Return the options of a front end.

        :param path: of a file for the password, which is written.
        """
        with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write("secret\n")
        return [
            *("--store", "rabbitmq", "--rabbitmq", f"amqp://memq@{self.places}/memq"),
            *("--rabbitmq-password-file", path),
            *("--rabbitmq-management", f"http://127.0.0.1:{self._api}"),
        ]

    def stop(self) -> None:
        """End them."""
        self._process.communicate(timeout=PATIENCE)


class _FarEnd(Protocol):
    """What a fake node takes for its client: what it hears goes out by TCP."""

    def __init__(self, transport: Any) -> None:
        self._out = transport

    def dataReceived(self, data: bytes) -> None:
        """Send it."""
        self._out.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Close it."""
        self._out.loseConnection()


class NodeConnection(Protocol):
    """A connection to a fake node."""

    def __init__(self, node: FakeNode) -> None:
        self._node = node

    def connectionMade(self) -> None:
        """Connect to the node."""
        far = _FarEnd(self.transport)
        self._node.connect(Factory.forProtocol(lambda: far))
        self._peer = self._node.peers[-1]

    def dataReceived(self, data: bytes) -> None:
        """Let the node read it, and all nodes say what comes of that."""
        self._peer.transport.write(data)
        self._node.cluster.run()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let the node know; what was open goes back."""
        if self._peer in self._node.peers:
            self._peer.lose(ConnectionLost())
            self._node.cluster.run()


class API(Resource):
    """The management API, as far as it is asked."""

    isLeaf = True

    def __init__(self, cluster: FakeCluster, settings: Settings) -> None:
        super().__init__()
        self._cluster, self._settings = cluster, settings
        words = b64encode(f"memq:{settings.password}".encode())
        self._allowed = b"Basic " + words

    def render(self, request: Any) -> bytes:
        """Answer a question."""
        if request.getHeader(b"authorization") != self._allowed:
            request.setResponseCode(401)
            return b"{}"
        what = request.path.decode("ascii").split("/")[2]
        return json.dumps(self._answers()[what]).encode("ascii")

    def _answers(self) -> dict[str, Any]:
        settings, queues = self._settings, self._cluster.queues
        state = "enabled" if settings.isKhepri else "disabled"
        items = [{"name": each, "messages_ready": len(queues[each])} for each in queues]
        return {
            "overview": {"rabbitmq_version": "4.0.5"},
            "nodes": [
                {"name": str(n), "running": n < settings.running} for n in range(3)
            ],
            "feature-flags": [{"name": "khepri_db", "state": state}],
            "queues": {"page_count": 1, "items": items},
            "exchanges": {"page_count": 1, "items": []},
            "policies": [],
            "operator-policies": [],
        }


def serve(reactor: Any, settings: Settings) -> list[int]:
    """Listen on free ports, and return them."""
    cluster = FakeCluster()
    factories: list[Any] = [
        Factory.forProtocol(lambda node=node: NodeConnection(node))  # type: ignore[misc]
        for node in cluster.nodes
    ]
    factories.append(Site(API(cluster, settings)))
    ports = [reactor.listenTCP(0, each, interface="127.0.0.1") for each in factories]
    return [port.getHost().port for port in ports]


class Input(Protocol):
    """Standard input: its end is the end."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the process."""
        self._reactor.stop()


def main(words: str) -> None:
    """Serve until standard input ends.

    :param words: settings, as an object of JSON.
    """
    from twisted.internet import reactor

    print(*serve(reactor, Settings(**json.loads(words))), flush=True)
    StandardIO(Input(reactor))
    reactor.run()
