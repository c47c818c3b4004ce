"""Queues are paused, emptied, moved and deleted, and each leaves a line."""

from __future__ import annotations

from typing import Any

from memq.errors import OutOfSpace, StoreError
from memq.message import Reason, Trace
from memq.operations.moves import _Moving
from memq.policy.rule import READS, WRITES
from memq.test.web.api.actions.base import ActionTestCase
from memq.test.web.api.base import ApiTestCase
from memq.web.api.errands import Errands

#: Every action, with fields that carry it out on queue q.
ACTIONS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("/queues/q/pause", "POST", {"reads": True}),
    ("/queues/q/resume", "POST", {}),
    ("/queues/q/flush", "POST", {"confirm": "q"}),
    ("/queues/q/move", "POST", {"to": "r"}),
    ("/queues/q/redrive", "POST", {}),
    ("/queues/q/messages", "POST", {"text": "x"}),
    ("/queues/q", "DELETE", {"confirm": "q"}),
    ("/rules/q", "PUT", {"max_age": 5}),
    ("/rules/q", "DELETE", {}),
    ("/connections/1", "DELETE", {}),
    ("/reload", "POST", {}),
)


class AllTests(ActionTestCase):
    """What holds for each action."""

    def test_complete(self) -> None:
        """The list has every route that changes something."""
        (api,) = (
            resource
            for path, resource in self.site.resource.children.items()
            if path == b"api"
        )
        names = {"{queue}": "q", "{pattern}": "q", "{id}": "1"}
        found = set()
        for route in api.routes:
            path = route.path.removeprefix("/api/v1")
            for name, value in names.items():
                path = path.replace(name, value)
            if route.method != "GET" and route.path != "/api/v1/login":
                self.assertTrue(route.acts, route.path)
                found.add((path, route.method))
        self.assertEqual(found, {(path, method) for path, method, _ in ACTIONS})

    def test_audited(self) -> None:
        """Each leaves one line, whatever comes of it."""
        for path, method, fields in ACTIONS:
            for error in (None, StoreError("no")):
                if error is not None:
                    self.store.refuse("begin", error)
                self.call(path, method, fields)
                self.assertEqual(len(self.said()), 1, path)
                self.store.forgive()

    def test_foreign(self) -> None:
        """A page of another site does none of them."""
        for path, method, fields in ACTIONS:
            for line in (
                "Origin: http://evil.example",
                "Origin: null",
                "Sec-Fetch-Site: cross-site",
                "Sec-Fetch-Site: same-site",
            ):
                code, _ = self.refused(path, method, fields, line)
                self.assertEqual(code, 403, path)
            reply = self.call(path, method, fields, "Host: evil.example")
            self.assertEqual(reply.code, 421, path)
            reply = self.ask(f"/api/v1{path}", method)
            self.assertEqual(reply.code, 415, path)
        self.assertEqual((self.said(), self.store.names()), ([], []))

    def test_getting(self) -> None:
        """Nothing is changed by a look."""
        for path, method, _ in ACTIONS:
            if method == "POST" and not path.endswith("/messages"):
                for looking in ("GET", "HEAD"):
                    reply = self.ask(f"/api/v1{path}", looking)
                    found = reply.code, reply.headers["Allow"]
                    self.assertEqual(found, (405, "POST"), path)


class OffTests(ApiTestCase):
    """Where nothing may be changed, as it is at first."""

    def test_off(self) -> None:
        """None is carried out, and it is told why."""
        for path, method, fields in ACTIONS:
            found = self.refused(path, method, fields)
            words = "actions are off: see actions in [web], --web-actions"
            self.assertEqual(found, (403, words))
        self.assertEqual(self.store.names(), [])


class PauseTests(ActionTestCase):
    """Pause and resume."""

    def test_pause(self) -> None:
        """Reads, writes or both are paused besides what is."""
        self.told("/queues/q/pause", "POST", {"writes": True})
        self.assertEqual(self.store.settings(b"q"), (0, WRITES))
        self.assertEqual(self.said(), ["pause q bits=writes: OK"])
        self.told("/queues/q/pause", "POST", {"reads": True, "writes": False})
        self.assertEqual(self.store.settings(b"q"), (0, READS | WRITES))
        self.told("/queues/r/pause", "POST", {"reads": True, "writes": True})
        lines = ["pause q bits=reads: OK", "pause r: OK"]
        self.assertEqual(self.said(), lines)

    def test_nothing(self) -> None:
        """Something has to be paused."""
        for fields in ({}, {"reads": False}, {"reads": False, "writes": False}):
            code, words = self.refused("/queues/q/pause", "POST", fields)
            self.assertEqual(code, 400)
            self.assertIn("reads, writes or both", words)

    def test_resume(self) -> None:
        """A queue goes on, if there is one; others see it at once."""
        self.told("/queues/q/pause", "POST", {"reads": True})
        (row,) = self.told("/queues")["queues"]
        self.assertEqual(row["paused"], ["reads"])
        self.assertEqual(self.told("/queues/q/resume", "POST"), {})
        (row,) = self.told("/queues")["queues"]
        self.assertEqual(row["paused"], [])
        expected = 404, "there is no queue of that name"
        self.assertEqual(self.refused("/queues/none/resume", "POST"), expected)
        lines = ["resume q: OK", "resume none: NOT_FOUND"]
        self.assertEqual(self.said()[1:], lines)


class RemoveTests(ActionTestCase):
    """Flush and delete."""

    def test_flush(self) -> None:
        """All messages go, and are counted."""
        self.push(b"q", b"1", b"2")
        told = self.told("/queues/q/flush", "POST", {"confirm": "q"})
        self.assertEqual(told, {"flushed": 2})
        self.assertEqual(self.store.dump(), "q 2/2:")
        self.assertEqual(self.said(), ["flush q count=2: END"])
        self.assertEqual(self.harness.statistics.flushes, 1)

    def test_delete(self) -> None:
        """The queue goes, if there is one."""
        self.push(b"\xff", b"1")
        fields = {"confirm": "hex:ff"}
        self.assertEqual(self.told("/queues/%ff", "DELETE", fields), {})
        self.assertEqual(self.store.names(), [])
        code, _ = self.refused("/queues/%ff", "DELETE", fields)
        self.assertEqual(code, 404)
        lines = ["delete \\xff: DELETED", "delete \\xff: NOT_FOUND"]
        self.assertEqual(self.said(), lines)
        statistics = self.harness.statistics
        self.assertEqual((statistics.deletes, statistics.deleteMisses), (1, 1))

    def test_confirm(self) -> None:
        """The name has to be told once more."""
        self.push(b"q", b"1")
        for path, method in (("/queues/q/flush", "POST"), ("/queues/q", "DELETE")):
            for fields, why in (
                ({}, "confirm is missing"),
                ({"confirm": "Q"}, "confirm must be the name of the queue"),
                ({"confirm": True}, "confirm must be the name of a queue: 1 to"),
            ):
                code, words = self.refused(path, method, fields)
                self.assertEqual(code, 400)
                self.assertTrue(words.startswith(why), words)
        self.assertEqual((self.store.dump(), self.said()), ("q 1/0: 1", []))

    def test_failed(self) -> None:
        """The store may fail, and the line says so."""
        self.push(b"q", b"1")
        for path, method in (("/queues/q/flush", "POST"), ("/queues/q", "DELETE")):
            self.store.refuse("begin", StoreError("no"), times=2)
            found = self.refused(path, method, {"confirm": "q"})
            self.assertEqual(found, (503, "no"))
            (event,) = self.events
            self.assertEqual(event["error"], "SERVER_ERROR no")
            self.events.clear()


class MoveTests(ActionTestCase):
    """Move and redrive."""

    def test_move(self) -> None:
        """Messages go to another queue, in as many slices as it takes."""
        self.push(b"q", *[b"%d" % number for number in range(250)])
        told = self.told("/queues/q/move", "POST", {"to": "r", "max": 2})
        self.assertEqual(told, {"moved": 2, "stays": None})
        told = self.told("/queues/q/move", "POST", {"to": "r"})
        self.assertEqual(told, {"moved": 248, "stays": None})
        self.assertEqual(self.store.status()["messages"], 250)
        lines = [
            "move q target=r most=2 count=2: MOVED 2",
            "move q target=r count=248: MOVED 248",
        ]
        self.assertEqual(self.said(), lines)

    def test_full(self) -> None:
        """What has no room stays, and it is told why."""
        self.push(b"q", b"1", b"2", b"3")
        self.rule(b"r", max_items=2)
        told = self.told("/queues/q/move", "POST", {"to": "r"})
        self.assertEqual(told, {"moved": 2, "stays": told["stays"]})
        self.assertIn("queue r is full", told["stays"])
        code, words = self.refused("/queues/q/move", "POST", {"to": "r"})
        self.assertEqual(code, 409)
        self.assertIn("queue r is full", words)
        lines = [
            "move q target=r count=2: MOVED 2",
            "move q target=r count=0: NOT_STORED",
        ]
        self.assertEqual(self.said(), lines)

    def test_wrong(self) -> None:
        """It has to be another queue, which can be one."""
        for fields, why in (
            ({"to": "q"}, "to must be another queue"),
            ({"to": "a b"}, "to must be the name of a queue: 1 to 250"),
            ({}, "to is missing"),
            ({"to": "r", "max": 0}, "max must be a whole number from 1 to"),
        ):
            code, words = self.refused("/queues/q/move", "POST", fields)
            self.assertEqual(code, 400)
            self.assertTrue(words.startswith(why), words)
        self.assertEqual(self.said(), [])

    def test_diskFull(self) -> None:
        """Nothing is moved while the disk is full."""
        self.push(b"q", b"1")
        self.harness.fillDisk()
        found = self.refused("/queues/q/move", "POST", {"to": "r"})
        self.assertEqual(found, (507, str(OutOfSpace())))
        line = "move q target=r count=0: SERVER_ERROR out of disk space"
        self.assertEqual(self.said(), [line])

    def test_stop(self) -> None:
        """A stop ends it, and whoever asked learns that some stay."""
        self.push(b"q", *[b"%d" % number for number in range(250)])
        broker = self.harness.broker
        goOn = _Moving._goOn

        def stop(move: _Moving) -> None:
            goOn(move)
            broker.isStopping = True

        self.patch(_Moving, "_goOn", stop)
        told = self.told("/queues/q/move", "POST", {"to": "r"})
        self.assertEqual(told["stays"], "the server is stopping")
        self.assertTrue(0 < told["moved"] < 250)
        # It stops between the look at that and the turn.
        self.patch(Errands, "check", lambda errands: None)
        found = self.refused("/queues/q/redrive", "POST")
        self.assertEqual(found, (503, "the server is stopping"))
        lines = [
            f"move q target=r count={told['moved']}: MOVED {told['moved']}",
            "redrive q count=0: MOVED 0",
        ]
        self.assertEqual(self.said(), lines)
        broker.isStopping = False

    def test_redrive(self) -> None:
        """Dead letters go back to where they came from."""
        trace = Trace(3, b"work", Reason.DELIVERIES, 5)
        for number in range(3):
            self.store.push(b"q", 0, b"%d" % number, trace=trace)
        self.store.commit()
        told = self.told("/queues/q/redrive", "POST", {"max": 1})
        self.assertEqual(told, {"moved": 1, "stays": None})
        self.told("/queues/q/redrive", "POST")
        lines = [
            "redrive q most=1 count=1: MOVED 1",
            "redrive q count=2: MOVED 2",
        ]
        self.assertEqual(self.said(), lines)
        self.assertIn("work 3/0: 0 1 2", self.store.dump())

    def test_gone(self) -> None:
        """It goes on though whoever asked is gone, and leaves its line."""
        self.push(b"q", *[b"%d" % number for number in range(250)])
        visitor = self.visitor()
        body = b'{"to":"r"}'
        visitor.request(
            "/api/v1/queues/q/move",
            "POST",
            *("Content-Type: application/json", f"Content-Length: {len(body)}"),
        )
        visitor.send(body)
        visitor.leave()
        self.harness.settle()
        line = "move q target=r count=250: MOVED 250"
        self.assertEqual(self.said(), [line])
