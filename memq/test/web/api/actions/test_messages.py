"""Messages are looked at, and set."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import DamagedMessage, OutOfSpace
from memq.message import PART_SIZE, LargeBody, Reason, Trace
from memq.test.web.api.actions.base import ActionTestCase
from memq.test.web.api.base import ApiTestCase
from memq.web.api.actions import messages
from memq.web.api.actions.messages import bodyTold

PATH = "/queues/q/messages"


def in64(data: bytes) -> str:
    """Return bytes as base64."""
    return b64encode(data).decode()


class ListTests(ActionTestCase):
    """Messages at the head of a queue."""

    def list(self, query: str = "") -> list[dict[str, Any]]:
        """Return them."""
        found: list[dict[str, Any]] = self.told(PATH + query)["messages"]
        return found

    def test_missing(self) -> None:
        """There has to be a queue; it may be empty."""
        expected = 404, "there is no queue of that name"
        self.assertEqual(self.refused(PATH), expected)
        self.told("/queues/q/pause", "POST", {"reads": True})
        self.assertEqual(self.list(), [])

    def test_message(self) -> None:
        """All that is known of each is told."""
        self.store.seconds = lambda: 12.5
        self.store.begin()
        trace = Trace(3, b"\xff", Reason.EXPIRED, 5000)
        self.store.push(b"q", 7, "队".encode(), expires=99_000, trace=trace)
        self.store.push(b"q", 0, b"\xff")
        self.store.commit()
        self.assertEqual(
            self.list(),
            [
                {
                    "number": 0,
                    "bytes": 3,
                    "set": 12.5,
                    "expires": 99.0,
                    "flags": 7,
                    "returned": 0,
                    "from": "hex:ff",
                    "reason": "expired",
                    "since": 5.0,
                    "body": in64("队".encode()),
                    "text": "队",
                },
                {
                    "number": 1,
                    "bytes": 1,
                    "set": 12.5,
                    "expires": None,
                    "flags": 0,
                    "returned": 0,
                    "from": None,
                    "reason": None,
                    "since": None,
                    "body": "/w==",
                },
            ],
        )

    def test_retried(self) -> None:
        """One that was retried has no origin."""
        self.store.push(b"q", 7, b"", trace=Trace(2))
        self.store.commit()
        (told,) = self.list()
        self.assertEqual((told["from"], told["returned"]), (None, 2))

    def test_some(self) -> None:
        """So many are told as are asked for, and none is taken."""
        self.push(b"q", *[b"%d" % number for number in range(150)])
        self.assertEqual(len(self.list()), 20)
        texts = [each["text"] for each in self.list("?limit=100")]
        self.assertEqual(texts, [str(number) for number in range(100)])
        self.assertEqual(self.store.status()["messages"], 150)
        for limit in ("0", "101"):
            code, words = self.refused(f"{PATH}?limit={limit}")
            expected = 400, "limit must be a whole number from 1 to 100"
            self.assertEqual((code, words), expected)

    def test_pages(self) -> None:
        """They come page by page."""
        self.push(b"q", *[b"%d" % number for number in range(5)])
        pages, after = [], "limit=2"
        while after:
            told = self.told(f"{PATH}?{after}")
            pages.append([each["number"] for each in told["messages"]])
            isLast = told["next"] is None
            after = "" if isLast else f"limit=2&after={told['next']}"
        self.assertEqual(pages, [[0, 1], [2, 3], [4]])
        told = self.told(f"{PATH}?after={(1 << 63) - 1}")
        self.assertEqual(told, {"messages": [], "next": None})

    def test_large(self) -> None:
        """Of a large body the beginning is told."""
        body = self.store.newBody()
        self.store.addPart(body, 0, b"x" * PART_SIZE)
        self.store.addPart(body, 1, b"y")
        self.store.pushLarge(b"q", 0, LargeBody(body, PART_SIZE + 1, 2))
        self.store.commit()
        (told,) = self.list()
        self.assertEqual((told["bytes"], told["cut"]), (PART_SIZE + 1, True))
        self.assertEqual(told["text"], "x" * PART_SIZE)

    def test_total(self) -> None:
        """All bodies of a reply are bounded."""
        self.patch(messages, "TOTAL", 5)
        self.setUp()
        self.push(b"q", b"abc", b"def", b"ghi")
        told = [(each["text"], each.get("cut", False)) for each in self.list()]
        self.assertEqual(told, [("abc", False), ("de", True), ("", True)])

    def test_much(self) -> None:
        """Many large ones are told to the end: what was told is held no longer."""
        self.push(b"q", *[b"x" * PART_SIZE] * 30)
        told = self.list("?limit=100")
        self.assertEqual(len(told), 30)
        cut = [each["number"] for each in told if "cut" in each]
        self.assertEqual(cut, list(range(16, 30)))

    def test_tooMany(self) -> None:
        """Not too many look at a time."""
        self.patch(messages, "LOOKS", 1)
        self.setUp()
        self.push(b"q", b"a")
        self.harness.broker.room.isHeld = True
        visitor = self.visitor()
        visitor.request(f"/api/v1{PATH}")
        expected = 503, "too many of these are under way"
        self.assertEqual(self.refused(PATH), expected)
        visitor.leave()
        self.harness.broker.room.looked(None)
        self.assertEqual(len(self.list()), 1)

    def test_damaged(self) -> None:
        """A damaged one is told as that, between others."""
        self.push(b"q", b"a")
        real = self.store.peekMany

        def peekMany(*given: Any) -> Any:
            found, reached = real(*given)
            return [*found, DamagedMessage("no")], reached

        self.patch(self.store, "peekMany", peekMany)
        first, second = self.list()
        self.assertEqual(first["text"], "a")
        self.assertEqual(second, {"error": "damaged message set aside: no"})


class HiddenTests(ApiTestCase):
    """Where bodies are not told, as it is at first."""

    def test_hidden(self) -> None:
        """All else is."""
        self.push(b"q", b"secret")
        (told,) = self.told(PATH)["messages"]
        self.assertEqual((told["bytes"], told["number"]), (6, 0))
        self.assertFalse({"body", "text", "cut"} & set(told))


class BodyTests(SynchronousTestCase):
    """Bodies, and their beginnings."""

    def test_text(self) -> None:
        """What is text is told as that, too; a cut may go through a letter."""
        both = "队列".encode()
        for body, isCut, expected in (
            (b"", False, {"text": ""}),
            (both, False, {"text": "队列"}),
            (both[:5], True, {"text": "队", "cut": True}),
            (both[:5], False, {}),
            (b"\xff", True, {"cut": True}),
        ):
            told = bodyTold(body, isCut)
            self.assertEqual(told, {"body": in64(body), **expected})


class PushTests(ActionTestCase):
    """Messages that are set."""

    options: ClassVar[dict[str, Any]] = {"maxBody": 10}

    def test_text(self) -> None:
        """A text is a message."""
        told = self.told(PATH, "POST", {"text": "队"})
        self.assertEqual(told, {"number": 0})
        self.assertEqual(self.client.talk(b"get q\r\n")[:13], b"VALUE q 0 3\r\n")
        self.assertEqual(self.said(), ["set q bytes=3: STORED"])
        statistics = self.harness.statistics
        self.assertEqual((statistics.setCommands, statistics.setHits), (1, 1))

    def test_body(self) -> None:
        """So is base64, with what belongs to it."""
        self.rule(b"q", honor_exptime=True)
        fields = {"body": "/w==", "flags": 7, "expires": 60}
        self.told(PATH, "POST", fields)
        (told,) = self.told(PATH)["messages"]
        self.assertEqual((told["flags"], told["expires"]), (7, 1.6e9 + 60))
        self.assertEqual(self.said(), ["set q bytes=1 flags=7 expires=60: STORED"])

    def test_delayed(self) -> None:
        """It may be seen later only."""
        self.told(PATH, "POST", {"text": "", "delay": 60})
        self.assertEqual(self.told("/queues/q")["delayed"], 1)

    def test_wrong(self) -> None:
        """It has a body, once, and no field of another kind."""
        for fields, why in (
            ({}, "there must be either body or text"),
            ({"body": "", "text": ""}, "there must be either body or text"),
            ({"body": "a"}, "body must be base64"),
            ({"body": "aa=="}, None),
            ({"body": "a b="}, "body must be base64"),
            ({"body": "队"}, "body must be base64"),
            ({"body": 1}, "body must be text"),
            ({"text": "", "flags": 1 << 32}, "flags must be a whole number from 0 to"),
            ({"text": "", "delay": 31_536_001}, "delay must be a whole number from 0"),
        ):
            if why is None:
                self.told(PATH, "POST", fields)
                continue
            code, words = self.refused(PATH, "POST", fields)
            self.assertEqual(code, 400)
            self.assertTrue(words.startswith(why), words)
        self.assertEqual(len(self.said()), 1)

    def test_tooLarge(self) -> None:
        """It is not larger than a set's may be."""
        found = self.refused(PATH, "POST", {"text": "x" * 11})
        self.assertEqual(found, (413, "the body is larger than 10 (--max-body)"))

    def test_refused(self) -> None:
        """A queue may be paused, or full."""
        self.told("/queues/q/pause", "POST", {"writes": True})
        code, words = self.refused(PATH, "POST", {"text": "x"})
        self.assertEqual((code, words), (409, "queue q is paused"))
        self.assertEqual(self.said()[1:], ["set q bytes=1: NOT_STORED"])
        self.assertEqual(self.told("/queues/q")["refused"]["paused"], 1)

    def test_diskFull(self) -> None:
        """Nothing is set while the disk is full, which counts as refused."""
        self.harness.fillDisk()
        found = self.refused(PATH, "POST", {"text": "x"})
        self.assertEqual(found, (507, str(OutOfSpace())))
        told = self.told("/server")
        self.assertEqual((told["refused"], told["disk"]["full"]), (1, True))
