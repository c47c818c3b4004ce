"""Rights of a user for queues."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.access import rights as module
from memq.access.rights import (
    ADMIN,
    EVERYTHING,
    MANAGE,
    MONITOR,
    READ,
    ROLES,
    SEE,
    WRITE,
    Rights,
)


class RightsTests(SynchronousTestCase):
    """Bits for a queue."""

    def test_patterns(self) -> None:
        """Patterns give rights, and whoever has one sees the queue."""
        rights = Rights([b"a*", b"in"], [b"*.x"], [b"ab"])
        for queue, bits in (
            (b"a", WRITE | SEE),
            (b"in", WRITE | SEE),
            (b"b.x", READ | SEE),
            (b"a.x", WRITE | READ | SEE),
            (b"ab", WRITE | MANAGE | SEE),
            (b"b", 0),
            (b"A", 0),
        ):
            self.assertEqual(rights[queue], bits, queue)
        self.assertEqual(rights.server, 0)

    def test_roles(self) -> None:
        """An admin may do everything, and a monitor sees everything."""
        admin = Rights(server=ROLES["admin"])
        self.assertEqual((admin[b"q"], admin.server), (EVERYTHING, ADMIN | MONITOR))
        monitor = Rights([b"q"], server=ROLES["monitor"])
        self.assertEqual((monitor[b"q"], monitor[b"r"]), (WRITE | SEE, SEE))
        self.assertEqual(monitor.server, MONITOR)

    def test_remembered(self) -> None:
        """A pattern is tried once for each queue."""
        tried = []

        def matching(name: bytes) -> bool:
            tried.append(name)
            return True

        self.patch(module, "matcher", lambda patterns: matching if patterns else None)
        rights = Rights([b"*"])
        for _ in range(3):
            self.assertTrue(rights[b"q"])
        self.assertEqual(tried, [b"q"])

    def test_seen(self) -> None:
        """Of some queues it is told which are seen."""
        queues = [b"a", b"b", b"c"]
        self.assertEqual(Rights([b"c"], [b"a"]).seen(queues), [b"a", b"c"])
        for rights, seesAll in (
            (Rights([b"*"]), False),
            (Rights(server=ROLES["monitor"]), True),
            (Rights(server=ROLES["admin"]), True),
        ):
            self.assertEqual(rights.seen(queues), queues)
            self.assertIs(rights.seesAll, seesAll)

    def test_bounded(self) -> None:
        """No more queues are remembered than there may be."""
        self.patch(module, "KNOWN", 3)
        rights = Rights([b"1*"])
        for each in range(10):
            self.assertEqual(rights[b"%d" % each], (WRITE | SEE) * (each == 1))
            self.assertLessEqual(len(rights), 3)

    def test_sight(self) -> None:
        """For lists it is told which queues may be seen, and nothing of it is kept."""
        for rights in (Rights(server=ROLES["admin"]), Rights(server=ROLES["monitor"])):
            self.assertIsNone(rights.sight)
        names = [b"a", b"ab", b"b", b"b.x", b"xa", b"\xff*", b""]
        many = [b"b%d" % each for each in range(100)]
        for write, read, manage in (
            ((), (), ()),
            ((b"a",), (b"b.*",), (b"\xff[*]", b"[!a]a")),
            (many, (b"a*",), ()),
        ):
            rights = Rights(write, read, manage)
            sight = rights.sight
            assert sight is not None
            for name in names:
                isSeen = bool(rights[name] & SEE)
                self.assertEqual(bool(sight(name)), isSeen, (write, name))
