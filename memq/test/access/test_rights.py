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
from memq.policy.patterns import Patterns


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

        def matching(patterns: Patterns, name: bytes) -> list[int]:
            tried.append(name)
            return [0]

        self.patch(Patterns, "matching", matching)
        rights = Rights([b"*"])
        for _ in range(3):
            self.assertTrue(rights[b"q"])
        self.assertEqual(tried, [b"q"] * 3)

    def test_bounded(self) -> None:
        """No more queues are remembered than there may be."""
        self.patch(module, "KNOWN", 3)
        rights = Rights([b"1*"])
        for each in range(10):
            self.assertEqual(rights[b"%d" % each], (WRITE | SEE) * (each == 1))
            self.assertLessEqual(len(rights), 3)
