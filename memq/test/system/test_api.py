"""Real servers with the API: what it answers is durable, whatever happens then."""

from __future__ import annotations

import contextlib
import http.client
import json
from itertools import count
from signal import SIGKILL
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from memq.test.support.servers import started, together
from testkit.servers import PATIENCE, Server

WEB = ("--web-listen=127.0.0.1:0", "--web-actions=anyone", "--web-bodies")
#: Messages that are answered before the server is killed.
ANSWERED = 100


class Client:
    """A connection to the API of a server, which is kept."""

    def __init__(self, server: Server) -> None:
        place = server.waitForLine("The web is on ").rpartition(" ")[2]
        self._connection = http.client.HTTPConnection(place, timeout=PATIENCE)

    def ask(
        self, path: str, method: str = "GET", fields: object = None, **headers: str
    ) -> tuple[int, Any]:
        """Return status and answer of a request."""
        headers = {"Content-Type": "application/json", **headers}
        body = None if fields is None else json.dumps(fields)
        self._connection.request(method, f"/api/v1{path}", body, headers)
        reply = self._connection.getresponse()
        return reply.status, json.loads(reply.read())

    def close(self) -> None:
        """End it."""
        self._connection.close()


class ApiServerTests(SynchronousTestCase):
    """Servers as a person starts them."""

    def client(self, server: Server) -> Client:
        """Return a connection, until the test ends."""
        client = Client(server)
        self.addCleanup(client.close)
        return client

    def test_killed(self) -> None:
        """A message that was answered is there after kill -9, and once."""
        server = started(self, *WEB)
        answered: list[str] = []

        def push(name: str) -> None:
            client = self.client(server)
            # The end comes in the middle of one.
            with contextlib.suppress(OSError, http.client.HTTPException):
                numbers = count()
                while True:
                    text = f"{name} {next(numbers)}"
                    path = "/queues/q/messages"
                    code, _ = client.ask(path, "POST", {"text": text})
                    self.assertEqual(code, 200)
                    answered.append(text)

        def kill() -> None:
            client = self.client(server)
            asked = iter(range(1 << 16))
            while len(answered) < ANSWERED and next(asked) >= 0:
                client.ask("/server")
            server.stop(SIGKILL)

        together(lambda: push("a"), lambda: push("b"), kill)
        again = Server(server.home, *WEB)
        self.addCleanup(again.stop)
        again.start()
        found = [body.decode() for body in again.take(b"q")]
        self.assertLessEqual(set(answered), set(found))
        self.assertEqual(len(found), len(set(found)))
        # One of each may be there that was not answered.
        self.assertLessEqual(len(found), len(answered) + 2)

    def test_round(self) -> None:
        """What a person does with a queue, from the first message to its end."""
        server = started(self, *WEB)
        client = self.client(server)
        for number in range(3):
            server.put(b"q", b"%d" % number)
        with server.wire() as wire:
            wire.send(b"get q/open\r\n")
            self.assertEqual(wire.line(), b"VALUE q/open 0 1")
            told = client.ask("/connections")[1]["connections"]
            (row,) = [each for each in told if each["open"]]
            self.assertEqual((row["received"], row["protocol"]), (12, "text"))
            path = f"/connections/{row['id']}"
            self.assertEqual(client.ask(path, "DELETE"), (200, {}))
            with contextlib.suppress(OSError):
                wire.rest()
        self.assertEqual(client.ask("/queues/q")[1]["messages"], 3)
        _, told = client.ask("/queues/q/messages")
        self.assertEqual([each["text"] for each in told["messages"]], ["0", "1", "2"])
        moved = client.ask("/queues/q/move", "POST", {"to": "r", "max": 2})
        self.assertEqual(moved, (200, {"moved": 2, "stays": None}))
        delete: tuple[Any, ...] = ("/queues/r", "DELETE", {"confirm": "r"})
        self.assertEqual(client.ask(*delete, Origin="http://evil.example")[0], 403)
        self.assertEqual(client.ask(*delete), (200, {}))
        self.assertEqual(client.ask("/queues/q")[1]["messages"], 1)
        self.assertEqual(client.ask("/reload", "POST"), (200, {}))
        self.assertEqual(server.stop(), 0)
        audited = [line for line in server.log if "(http)" in line]
        self.assertEqual(len(audited), 4, audited)
