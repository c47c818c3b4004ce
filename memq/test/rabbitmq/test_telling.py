"""Tests for memq.rabbitmq.telling, beside nodes that answer what a test says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone, ResponseNeverReceived
from twisted.web.iweb import IAgent
from zope.interface import implementer

from memq.rabbitmq import telling
from memq.rabbitmq.errors import Untold
from memq.rabbitmq.policies import Policy
from memq.rabbitmq.telling import BOUND, Facts, Telling, ToldQueue

if TYPE_CHECKING:
    from twisted.internet.protocol import Protocol
    from twisted.web.http_headers import Headers
    from twisted.web.iweb import IBodyProducer


class Transport(StringTransport):
    """The body's."""

    def abortConnection(self) -> None:
        """Note it."""
        self.aborting = True


class Response:
    """An answer of a node.

    :ivar reason: how it ends.
    """

    def __init__(self, code: int, body: bytes) -> None:
        self.code, self._body = code, body
        self.reason: Exception = ResponseDone()
        self.transport = Transport()

    def deliverBody(self, protocol: Protocol) -> None:
        """Hand it over, in two pieces."""
        protocol.makeConnection(self.transport)
        half = len(self._body) // 2
        protocol.dataReceived(self._body[:half])
        protocol.dataReceived(self._body[half:])
        protocol.connectionLost(Failure(self.reason))


@implementer(IAgent)
class Nodes:
    """Nodes, each with what it answers.

    :ivar answers: what each question is answered, by the end of its address.
    :ivar dead: the nodes that refuse; still, those that say nothing.
    :ivar errors: how all fail; None if they do not.
    :ivar asked: the addresses that were asked, and the headers of the last one.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.dead: set[str] = set()
        self.still: set[str] = set()
        self.asked: list[str] = []
        self.headers: Any = None
        self.errors: Exception | None = None

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[Any]:
        """Answer a question."""
        self.headers = headers
        self.asked.append(uri.decode("ascii"))
        if self.errors is not None:
            return fail(self.errors)
        node, _, path = self.asked[-1].removeprefix("http://").partition("/api/")
        if node in self.dead:
            return fail(ConnectionRefusedError())
        if node in self.still:
            return Deferred()
        answer = self.answers[path]
        if isinstance(answer, Response):
            return succeed(answer)
        return succeed(Response(200, json.dumps(answer).encode()))


def page(number: int) -> str:
    """Return the end of the address of a page of queues."""
    return (
        f"queues/v%2F?page={number}&page_size=500&sort=name&columns=name,arguments,"
        "messages_ready,messages_unacknowledged,consumers,message_bytes,leader,online"
    )


class TellingTests(SynchronousTestCase):
    """What nodes are asked, and what is made of it."""

    def setUp(self) -> None:
        """Know three nodes."""
        self.clock, self.nodes = Clock(), Nodes()
        places = ["http://a:1", "http://b:1", "http://c:1"]
        self.telling = Telling(self.clock, self.nodes, places, "u", "p", "v/")
        self.nodes.answers = {
            page(1): {
                "page_count": 2,
                "items": [
                    {
                        "name": "q",
                        "arguments": {"x": 1},
                        "messages_ready": 3,
                        "messages_unacknowledged": 2,
                        "consumers": 1,
                        "message_bytes": 7,
                        "leader": "a",
                        "online": ["a", "b"],
                    }
                ],
            },
            page(2): {
                "page_count": 2,
                "items": [{"name": "new"}, {"name": "r", "leader": None}],
            },
        }
        self.queues = [
            ToldQueue("q", {"x": 1}, 3, 2, 1, 7),
            ToldQueue("new", {}, 0, 0, 0),
            ToldQueue("r", {}, 0, 0, 0, isLed=False),
        ]

    def refusal(self, asked: Deferred[Any]) -> str:
        """Return what is told of a failure."""
        reply: bytes = self.failureResultOf(asked, Untold).value.reply
        return reply.decode("ascii")

    def test_queues(self) -> None:
        """All queues are told, page by page; new ones, and without leader, as such."""
        self.assertEqual(self.queues, self.successResultOf(self.telling.queues()))
        self.assertEqual(
            ["http://a:1/api/" + page(each) for each in (1, 2)], self.nodes.asked
        )
        self.assertEqual(
            ["Basic dTpw"], self.nodes.headers.getRawHeaders("authorization")
        )

    def test_policies(self) -> None:
        """The virtual host has policies, and an operator's."""
        one = {
            "vhost": "v/",
            "name": "memq q",
            "pattern": "^q$",
            "apply-to": "queues",
            "definition": {"max-length": 5},
            "priority": 1,
        }
        self.nodes.answers = {
            "policies/v%2F": [one],
            "operator-policies/v%2F": [{**one, "name": "o"}],
        }
        policy = Policy("memq q", "^q$", 1, {"max-length": 5})
        self.assertEqual(
            ([policy], [policy._replace(name="o")]),
            self.successResultOf(self.telling.policies()),
        )

    def test_facts(self) -> None:
        """A cluster has a version and nodes, may be in parts, and has Khepri or not."""
        nodes: list[Any] = [
            {"name": "a", "running": True, "partitions": []},
            {"name": "b", "running": False},
        ]
        flags = [{"name": "khepri_db", "state": "disabled"}]
        self.nodes.answers = {
            "exchanges/v%2F?page=1&page_size=1&columns=name": {"items": []},
            "overview?columns=rabbitmq_version": {"rabbitmq_version": "4.0.5"},
            "nodes?columns=name,running,partitions": nodes,
            "feature-flags": flags,
        }
        told = self.successResultOf(self.telling.facts())
        self.assertEqual(Facts("4.0.5", 2, 1, False, False), told)
        flags.append({"name": "khepri_db", "state": "enabled"})
        nodes[0]["partitions"].append("b")
        told = self.successResultOf(self.telling.facts())
        self.assertEqual(Facts("4.0.5", 2, 1, True, True), told)
        self.nodes.answers["feature-flags"] = Response(401, b"{}")
        told = self.successResultOf(self.telling.facts())
        self.assertEqual(Facts("4.0.5", 2, 1, True, None), told)
        self.nodes.answers["feature-flags"] = Response(500, b"{}")
        self.refusal(self.telling.facts())

    def test_dead(self) -> None:
        """If a node does not answer the next one is asked, and asked first then."""
        self.nodes.dead.add("a:1")
        self.assertEqual(self.queues, self.successResultOf(self.telling.queues()))
        self.assertEqual(
            [f"http://{each}/api/" for each in ("a:1", "b:1", "b:1")],
            [
                each.removesuffix(page(1)).removesuffix(page(2))
                for each in self.nodes.asked
            ],
        )

    def test_still(self) -> None:
        """A node that says nothing is given up after some time."""
        self.nodes.still.add("a:1")
        asked = self.telling.queues()
        self.assertNoResult(asked)
        self.clock.advance(BOUND)
        self.assertEqual(self.queues, self.successResultOf(asked))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_together(self) -> None:
        """Two questions that meet a bad node at once both go on to the next one."""
        self.nodes.still.add("a:1")
        self.nodes.dead.add("b:1")
        both = self.telling.queues(), self.telling.queues()
        self.clock.advance(BOUND)
        for asked in both:
            self.assertEqual(self.queues, self.successResultOf(asked))

    def test_nobody(self) -> None:
        """If no node answers, that is told, with the reason of the last one."""
        self.nodes.dead.update({"a:1", "b:1"})
        self.nodes.answers[page(1)] = Response(401, b"{}")
        why = "SERVER_ERROR no queue server tells of its queues ({})"
        told = self.refusal(self.telling.queues())
        self.assertEqual(why.format("it answered 401"), told)

    def test_code(self) -> None:
        """If somebody answers no, that is known, also if others do not answer."""
        self.nodes.answers[page(1)] = Response(401, b"{}")
        self.nodes.dead.update({"b:1", "c:1"})
        error = self.failureResultOf(self.telling.queues(), Untold).value
        self.assertEqual(401, error.code)
        self.nodes.dead.add("a:1")
        error = self.failureResultOf(self.telling.queues(), Untold).value
        self.assertEqual(0, error.code)

    def test_logIn(self) -> None:
        """A password that is another one from now on is said from now on."""
        self.telling.logIn("u", "q")
        self.successResultOf(self.telling.queues())
        self.assertEqual(
            ["Basic dTpx"], self.nodes.headers.getRawHeaders("authorization")
        )

    def test_why(self) -> None:
        """Why nobody answers is told in words, whatever it was packed in."""
        cancelled = Failure(CancelledError())
        for error, why in (
            (ConnectionRefusedError(), "Connection was refused"),
            (
                ResponseNeverReceived([Failure(ConnectionDone())]),
                "Connection was closed",
            ),
            (ResponseNeverReceived([cancelled]), "no answer in time"),
            (CancelledError(), "no answer in time"),
        ):
            self.nodes.errors = error
            self.assertIn(f"({why}", self.refusal(self.telling.queues()))
        self.nodes.errors = None
        self.nodes.still.update({"a:1", "b:1", "c:1"})
        asked = self.telling.queues()
        self.clock.pump([BOUND] * 3)
        self.assertIn("(no answer in time)", self.refusal(asked))

    def test_later(self) -> None:
        """A later page that nobody tells is asked of all nodes once."""
        self.nodes.answers[page(2)] = Response(500, b"")
        self.refusal(self.telling.queues())
        self.assertEqual(4, len(self.nodes.asked))

    def test_strange(self) -> None:
        """What is no JSON, or lacks something, is no answer."""
        for body in (b"<html>", b"{}"):
            self.nodes.answers[page(1)] = Response(200, body)
            self.refusal(self.telling.queues())

    def test_cut(self) -> None:
        """An answer that is cut short is none."""
        response = self.nodes.answers[page(1)] = Response(200, b"{}")
        response.reason = ConnectionDone()
        self.assertIn("cut short", self.refusal(self.telling.queues()))

    def test_long(self) -> None:
        """An answer that is too long is cut off."""
        self.patch(telling, "LONGEST", 10)
        response = self.nodes.answers[page(1)] = Response(200, b"x" * 22)
        response.reason = ConnectionDone()
        self.refusal(self.telling.queues())
        self.assertTrue(response.transport.aborting)
