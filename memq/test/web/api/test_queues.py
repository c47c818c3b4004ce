"""The list of queues, and one of them."""

from __future__ import annotations

from memq.errors import NotStored, Refusing, StoreError
from memq.policy.rule import READS, WRITES
from memq.test.web.api.base import ApiTestCase
from memq.web.api import queues
from memq.web.api.queues import AT_ONCE


class ListTests(ApiTestCase):
    """The list."""

    def names(self, query: str = "") -> list[str]:
        """Return the names that are told."""
        told = self.told(f"/queues{query}")
        return [row["name"] for row in told["queues"]]

    def test_none(self) -> None:
        """There may be no queue."""
        self.assertEqual(
            self.told("/queues"),
            {"total": 0, "next": None, "at": 1.6e9, "queues": []},
        )

    def test_row(self) -> None:
        """Each has all its figures."""
        client = self.harness.connect()
        self.rule(b"q", max_items=9, dead_letter=b"dead\xff", max_deliveries=1)
        client.talk(b"set q 0 0 2\r\nab\r\n" * 3 + b"set q/delay=60 0 0 1\r\nx\r\n")
        client.talk(b"get q/open\r\nget r/t=60000\r\npause q writes\r\n")
        self.harness.connect().talk(b"get q\r\npause q writes\r\nget r/t=60000\r\n")
        (row,) = self.told("/queues")["queues"]
        self.assertEqual(
            row,
            {
                "name": "q",
                "messages": 1,
                "bytes": 4,
                "open": 1,
                "delayed": 1,
                "waiters": 0,
                "oldest": row["oldest"],
                "set": 3,
                "taken": 1,
                "closed": 0,
                "expired": 0,
                "discarded": 0,
                "returned": 0,
                "in": None,
                "out": None,
                "limit": 9,
                "paused": ["writes"],
                "deadLetter": "hex:64656164ff",
            },
        )

    def test_rates(self) -> None:
        """Rates are known from the second look on."""
        client = self.harness.connect()
        client.talk(b"set q 0 0 1\r\nx\r\n")
        self.told("/queues")
        self.harness.pass_(1)
        client.talk(b"set q 0 0 1\r\nx\r\n" * 3 + b"get q\r\n")
        (row,) = self.told("/queues")["queues"]
        self.assertEqual((row["in"], row["out"]), (3, 1))

    def test_pages(self) -> None:
        """They come page by page, in an order."""
        for name, count in ((b"a", 2), (b"b", 3), (b"c", 1)):
            self.push(name, *[b""] * count)
        self.assertEqual(self.names("?order=desc"), ["c", "b", "a"])
        self.assertEqual(self.names("?sort=messages"), ["b", "a", "c"])
        self.assertEqual(self.names("?sort=messages&order=asc"), ["c", "a", "b"])
        self.assertEqual(self.names("?match=[ab]&sort=bytes"), ["b", "a"])
        told = self.told("/queues?limit=2&sort=messages")
        self.assertEqual((told["total"], told["next"]), (3, "2:a"))
        self.assertEqual(self.names("?limit=2&sort=messages&after=2:a"), ["c"])

    def test_many(self) -> None:
        """A page may be long."""
        count = 2 * AT_ONCE + 1
        for number in range(count):
            self.push(b"%03d" % number, b"")
        self.assertEqual(len(self.names()), 100)
        names = self.names("?limit=1000")
        self.assertEqual(names, [f"{number:03}" for number in range(count)])

    def test_wrong(self) -> None:
        """What is not allowed is told so."""
        for query, why in (
            (
                "sort=x",
                "sort must be name, messages, bytes, age, in, out, open or waiters",
            ),
            ("order=up", "order must be asc or desc"),
            ("limit=0", "limit must be a whole number from 1 to 1000"),
            ("limit=1001", "limit must be a whole number from 1 to 1000"),
            ("after=x", "after must be what next was of the page before"),
            ("page=2", '"page" is not known; parameters: match, sort, order, limit, a'),
            ("limit=1&limit=2", '"limit" is given twice'),
            ("match=", "match must be a pattern of 1 to 250 bytes"),
            (f"match={'*a' * 126}", "match must be a pattern of 1 to 250 bytes"),
        ):
            code, told = self.refused(f"/queues?{query}")
            self.assertEqual(code, 400)
            self.assertTrue(told.startswith(why), told)

    def test_tooMany(self) -> None:
        """Not too many are made at a time."""
        self.patch(queues, "LISTS", 2)
        self.setUp()
        self.harness.broker.room.isHeld = True
        visitors = [self.visitor() for _ in range(2)]
        for visitor in visitors:
            visitor.request("/api/v1/queues")
        expected = 503, "too many of these are under way"
        self.assertEqual(self.refused("/queues"), expected)
        self.harness.broker.room.looked(None)
        for visitor in visitors:
            self.assertEqual(visitor.answer("GET").code, 200)
        self.assertEqual(self.names(), [])

    def test_failed(self) -> None:
        """The store may fail."""
        self.push(b"q", b"")
        self.store.refuse("begin", StoreError("no"), times=2)
        self.assertEqual(self.refused("/queues"), (503, "no"))
        self.assertEqual(self.names(), ["q"])

    def test_notReady(self) -> None:
        """A server that stops is not asked."""
        self.harness.broker.stop()
        for path in ("/queues", "/queues/q"):
            self.assertEqual(self.refused(path), (503, "the server is stopping"))


class OneTests(ApiTestCase):
    """One queue."""

    def test_missing(self) -> None:
        """It has to be there."""
        expected = 404, "there is no queue of that name"
        self.assertEqual(self.refused("/queues/q"), expected)
        self.assertEqual(self.refused("/queues/a%20b")[0], 400)

    def test_row(self) -> None:
        """It has the row of the list, and more."""
        client = self.harness.connect()
        client.talk(b"set \xff 0 0 1\r\nx\r\n")
        (row,) = self.told("/queues")["queues"]
        for path in ("%ff", "hex:ff"):
            told = self.told(f"/queues/{path}")
            self.assertEqual({name: told[name] for name in row}, row)
            refused = {"full": 0, "paused": 0, "fanout": 0}
            self.assertEqual((told["refused"], told["rules"]), (refused, []))
            self.assertEqual(told["lastUsed"], 0)

    def test_rates(self) -> None:
        """Rates are known from the second look on, also when both come at once."""
        client = self.harness.connect()
        client.talk(b"set q 0 0 1\r\nx\r\n")
        self.assertIsNone(self.told("/queues/q")["in"])
        self.harness.pass_(1)
        client.talk(b"set q 0 0 1\r\nx\r\n")
        for _ in range(2):
            told = self.told("/queues/q")
            self.assertEqual((told["in"], told["out"]), (1, 0))

    def test_rules(self) -> None:
        """It tells what is in force, and what that is from."""
        client = self.harness.connect()
        client.talk(b"add q 0 0 1\r\n5\r\npause q reads\r\n")
        self.rule(b"q", max_items=7, paused=WRITES, max_age=1500)
        told = self.told("/queues/q")
        self.assertEqual((told["limit"], told["paused"]), (5, ["reads", "writes"]))
        self.assertEqual(
            told["rules"],
            [
                {"key": "max_items", "value": "5", "from": "add"},
                {"key": "max_age", "value": "1.5", "from": "memory"},
                {"key": "paused", "value": "both", "from": "pause"},
            ],
        )
        self.rule(b"q", max_items=3, paused=READS)
        sources = [rule["from"] for rule in self.told("/queues/q")["rules"]]
        self.assertEqual(sources, ["memory", "memory"])

    def test_refused(self) -> None:
        """It tells how many sets it refused, and why."""
        self.push(b"q", b"")
        error = NotStored(b"q", b"q", Refusing.FULL)
        self.harness.broker.refusals.note(error)
        expected = {"full": 1, "paused": 0, "fanout": 0}
        self.assertEqual(self.told("/queues/q")["refused"], expected)

    def test_failed(self) -> None:
        """The store may fail."""
        self.push(b"q", b"")
        self.store.refuse("begin", StoreError("no"), times=2)
        self.assertEqual(self.refused("/queues/q"), (503, "no"))
