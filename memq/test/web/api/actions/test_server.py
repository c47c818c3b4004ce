"""Connections are told and ended, and rules are read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail

from memq.errors import ConfigError
from memq.server.clients import AT_ONCE
from memq.test.support.harness import Transport
from memq.test.web.api.actions.base import ActionTestCase

if TYPE_CHECKING:
    from memq.test.support.harness import Client


class _Cut(Transport):
    """A transport that notes that it was cut off."""

    isCut = False

    def abortConnection(self) -> None:
        """Note it."""
        self.isCut = True


class ConnectionTests(ActionTestCase):
    """Connections."""

    def ids(self, query: str = "") -> tuple[list[int], int | None]:
        """Return the ids that are told, and where to go on."""
        told = self.told(f"/connections{query}")
        return [each["id"] for each in told["connections"]], told["next"]

    def test_figures(self) -> None:
        """Each is told with all its figures."""
        self.client.talk(b"get \xff/t=9000\r\n")
        told = self.told("/connections")
        self.assertEqual((told["total"], told["next"]), (1, None))
        self.assertEqual(
            told["connections"],
            [
                {
                    "id": 1,
                    "peer": "192.168.1.1:54321",
                    "user": None,
                    "since": 1.6e9,
                    "protocol": "text",
                    "received": None,
                    "sent": None,
                    "open": 0,
                    "waits": "hex:ff",
                    "outstanding": 1,
                }
            ],
        )

    def test_none(self) -> None:
        """There may be none."""
        self.client.end()
        self.assertEqual(self.ids(), ([], None))

    def test_pages(self) -> None:
        """They come page by page, in the order in which they came."""
        clients: list[Client] = [self.harness.connect() for _ in range(4)]
        clients[0].end()
        self.assertEqual(self.ids("?limit=2"), ([1, 3], 3))
        self.assertEqual(self.ids("?limit=2&after=3"), ([4, 5], None))
        self.assertEqual(self.ids("?after=5"), ([], None))

    def test_many(self) -> None:
        """A page may be long."""
        for _ in range(2 * AT_ONCE):
            self.harness.connect()
        ids, following = self.ids("?limit=201")
        self.assertEqual((len(ids), following), (201, None))
        self.assertEqual(self.ids()[1], 100)

    def test_kill(self) -> None:
        """One is cut off, if it is there."""
        transport = _Cut()
        self.harness.connect(transport)
        self.assertEqual(self.told("/connections/2", "DELETE"), {})
        self.assertTrue(transport.isCut)
        found = self.refused("/connections/3", "DELETE")
        self.assertEqual(found, (404, "there is no such connection"))
        for wrong in ("0", "x", "1" * 30):
            self.assertEqual(self.refused(f"/connections/{wrong}", "DELETE")[0], 400)
        lines = [
            "kill id=2 client=192.168.1.1:54321: OK",
            "kill id=3: NOT_FOUND",
        ]
        self.assertEqual(self.said(), lines)


class ReloadTests(ActionTestCase):
    """Rules are read again."""

    def reload(self, done: Any) -> None:
        """Let the next reload end so."""
        self.patch(self.harness.factory.rules, "reload", lambda: done)

    def test_reload(self) -> None:
        """It is answered when they hold."""
        done: Deferred[None] = Deferred()
        self.reload(done)
        visitor = self.visitor()
        lines = "Content-Type: application/json", "Content-Length: 0"
        visitor.request("/api/v1/reload", "POST", *lines)
        self.assertEqual(visitor.read(), b"")
        done.callback(None)
        self.assertEqual(visitor.answer("POST").code, 200)
        self.assertEqual(self.said(), ["reload: OK"])

    def test_refused(self) -> None:
        """A mistake in the file is told, and changes nothing."""
        error = ConfigError("memq.toml", 1, "no")
        self.reload(fail(error))
        found = self.refused("/reload", "POST")
        self.assertEqual(found, (409, str(error)))
        self.assertEqual(self.said(), [f"reload: {error}"])
