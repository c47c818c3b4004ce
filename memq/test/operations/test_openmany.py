"""Many messages are opened in one go."""

from __future__ import annotations

from typing import cast
from unittest.mock import patch

from memq.errors import DamagedMessage, StoreError
from memq.operations.expiry import LOOK_COST
from memq.operations.openreads import openmany
from memq.operations.openreads.openmany import OPENED_AT_ONCE, OpenMany
from memq.policy.rule import READS
from memq.test.support.readers import Reader, RuledTestCase


class OpenManyTests(RuledTestCase):
    """A client that opens many."""

    def setUp(self) -> None:
        """Have it."""
        super().setUp()
        self.one = self.reader()
        self.asked: list[OpenMany] = []

    def open(self, most: int = 1000, reader: Reader | None = None) -> list[bytes]:
        """Open messages; return their bodies."""
        client = reader or self.one
        first = OpenMany(client.session, b"q", most)
        each: OpenMany | None = first
        self.asked = []
        client.session.submit(first)
        self.settle()
        while each is not None:
            self.asked.append(each)
            each.abandon()
            each = cast("OpenMany | None", each.follow())
        return [opened.message.body for one in self.asked for opened in one.opened]

    def fill(self, count: int) -> list[bytes]:
        """Push so many; return their bodies."""
        bodies = [b"%d" % number for number in range(count)]
        self.store.fill(b"q", *bodies)
        return bodies

    def test_slices(self) -> None:
        """It is done in slices, in order, and is over when there is no more."""
        bodies = self.fill(2 * OPENED_AT_ONCE + 10)
        self.assertEqual(self.open(), bodies)
        self.assertEqual(len(self.asked), 3)
        self.assertEqual([each.isShort for each in self.asked], [False, False, True])
        self.assertEqual(self.open(), [])
        self.assertEqual(self.one.session.outstanding.undelivered, 0)

    def test_most(self) -> None:
        """It opens no more than it is to."""
        bodies = self.fill(2 * OPENED_AT_ONCE)
        for most in (1, OPENED_AT_ONCE, OPENED_AT_ONCE - 1):
            self.assertEqual(len(self.open(most)), most)
            self.assertFalse(self.asked[-1].isShort)
        self.assertEqual(self.one.numbers(), list(range(len(bodies))))

    def test_large(self) -> None:
        """Large bodies end a slice."""
        self.store.fill(b"q", *[b"x" * 40_000] * 3)
        self.assertEqual(len(self.open()), 3)
        self.assertEqual([len(each.opened) for each in self.asked], [2, 1])

    def test_mostOpen(self) -> None:
        """A connection and a rule bound how many may be open."""
        self.fill(9)
        with patch.object(openmany, "MOST_OPEN", 2):
            self.assertEqual(self.open(), [b"0", b"1"])
            self.assertEqual(self.open(), [])
        self.rule(max_open=5)
        self.assertEqual(self.open(), [b"2", b"3", b"4"])
        self.assertTrue(self.asked[-1].isShort)
        self.assertEqual(self.open(), [])

    def test_paused(self) -> None:
        """Nothing is opened while reads are paused."""
        self.fill(2)
        self.rule(paused=READS)
        self.assertEqual(self.open(), [])

    def test_timeout(self) -> None:
        """They go back when their time is over."""
        bodies = self.fill(3)
        self.rule(open_timeout=5.0)
        self.assertEqual(self.open(), bodies)
        self.wait(6.0)
        self.assertEqual(self.open(reader=self.reader()), bodies)

    def test_expired(self) -> None:
        """What has expired goes, however much it is, and is not opened."""
        count = LOOK_COST // 1024
        self.fill(count + 5)
        self.rule(max_age=1000, expired_to=b"dead")
        self.wait(2.0)
        self.push(b"a", b"b")
        self.assertEqual(self.open(), [b"a", b"b"])
        self.assertEqual(self.detail(b"dead").items, count + 5)

    def test_expiredBetween(self) -> None:
        """So where it stands behind what has not expired."""
        client = self.asker
        client.push(b"a")
        self.settle()
        count = LOOK_COST // 1024
        self.rule(honor_exptime=True)
        for number in range(count + 5):
            self.store.push(b"q", 0, b"%d" % number, expires=1)
        self.store.push(b"q", 0, b"b")
        self.store.commit()
        self.wait(2.0)
        self.assertEqual(self.open(), [b"a", b"b"])
        self.assertEqual(self.detail().expired, count + 5)

    def test_undone(self) -> None:
        """A turn that is undone is run again, and changes nothing of it."""
        bodies = self.fill(OPENED_AT_ONCE + 10)
        for rule in ({}, {"max_open": 1000}):
            self.rule(**rule)
            self.store.refuse("commit", StoreError("no room"), times=1)
            self.assertEqual(self.open(), bodies)
            self.assertEqual(self.one.session.openReads, len(bodies))
            self.done(self.one.abort())

    def test_error(self) -> None:
        """What the store cannot open is told behind what it can."""
        self.fill(5)
        self.store.refuse("openRead", StoreError("bad page"), after=7)
        self.store.refuse("openRead", StoreError("bad page"), after=3, times=1)
        self.assertEqual(self.open(), [b"0", b"1", b"2"])
        self.assertEqual(str(self.asked[-1].result), "bad page")
        self.store.forgive()
        self.assertEqual(self.open(1), [b"3"])

    def test_errorInVain(self) -> None:
        """The rest of one that fails finds nothing."""
        self.fill(5)
        one = OpenMany(self.one.session, b"q", 2 * OPENED_AT_ONCE)
        with patch.object(openmany, "OPENED_AT_ONCE", 2):
            one.run(self.store)
        two = one.rest
        one.undo()
        one.fail(StoreError("bad page"))
        assert two is not None
        self.assertEqual((two.run(self.store), two.opened), (0, []))
        self.assertEqual(list(two.split()), [two])
        self.assertEqual(self.one.session.openReads, 0)

    def test_damaged(self) -> None:
        """A damaged message is told, and counts in the turn."""
        self.store.damaged[b"q"] = DamagedMessage("number 0")
        self.fill(1)
        self.assertEqual(self.open(), [])
        self.assertEqual(
            str(self.asked[0].result), "damaged message set aside: number 0"
        )
