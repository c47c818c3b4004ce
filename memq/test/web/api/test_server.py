"""The server as a whole."""

from __future__ import annotations

from typing import Any, ClassVar

from memq.test.web.api.base import ApiTestCase


class ServerTests(ApiTestCase):
    """What is told of the server."""

    maxDiff = None

    settings: ClassVar[dict[str, Any]] = {"actions": "anyone", "bodies": True}

    def test_figures(self) -> None:
        """Everything is told."""
        client = self.harness.connect()
        client.talk(b"set q 0 0 2\r\nab\r\n" * 2 + b"get q\r\nget r/t=9000\r\n")
        told = self.told("/server")
        self.assertIsNone(told.pop("oldest"))
        for name in ("version", "python", "twisted"):
            self.assertTrue(told.pop(name), name)
        self.assertEqual(
            told,
            {
                "berkeleydb": "none",
                "durability": "synced",
                "started": 0.0,
                "ready": [],
                "connections": 1,
                "connectionsLimit": 1024,
                "queues": 1,
                "messages": 1,
                "bytes": 2,
                "open": 0,
                "delayed": 0,
                "waiters": 1,
                "set": 2,
                "taken": 1,
                "in": None,
                "out": None,
                "cluster": None,
                "disk": {"free": None, "minFree": 64 << 20, "store": 0, "full": False},
                "refused": 0,
                "refusedWhy": {"full": 0, "paused": 0, "fanout": 0, "disk_full": 0},
                "memory": {"held": 0, "limit": told["memory"]["limit"]},
                "actions": True,
                "bodies": True,
            },
        )

    def test_rates(self) -> None:
        """Rates are known from the second look on."""
        client = self.harness.connect()
        self.told("/server")
        self.harness.pass_(2)
        client.talk(b"set q 0 0 2\r\nab\r\n" * 4 + b"get q\r\n")
        told = self.told("/server")
        self.assertEqual((told["in"], told["out"]), (2.0, 0.5))

    def test_empty(self) -> None:
        """Where all queues are empty, nothing is old."""
        self.assertIsNone(self.told("/server")["oldest"])

    def test_notReady(self) -> None:
        """It tells why it is not ready, and then nothing of queues."""
        self.web.readiness.isListening = False
        told = self.told("/server")
        self.assertEqual(told["ready"], ["the server is starting"])
        self.assertEqual((told["queues"], told["oldest"]), (None, None))


class ReadOnlyTests(ApiTestCase):
    """Where nothing is allowed."""

    def test_allowed(self) -> None:
        """It is told what is."""
        told = self.told("/server")
        self.assertEqual((told["actions"], told["bodies"]), (False, False))
