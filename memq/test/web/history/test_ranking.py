"""The busiest queues."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.web.history.ranking import AT_ONCE, BUSIEST, ranked


class RankedTests(SynchronousTestCase):
    """Queues by what goes into and out of them."""

    def test_busiest(self) -> None:
        """The busiest come first; those of which nothing is known do not come."""
        taken: list[bytes] = []
        incoming = [0.0, 5.0, 1.0, -1.0, 0.0]
        outgoing = [0.0, 0.0, 9.0, -1.0, 0.5]
        steps = ranked([b"a", b"b", b"c", b"d", b"e"], incoming, outgoing, taken.extend)
        self.assertEqual(len(list(steps)), 1)
        self.assertEqual(taken, [b"c", b"b", b"e"])

    def test_many(self) -> None:
        """Of very many a few are found, some looked at in each step."""
        count = 2 * AT_ONCE + 1
        names = [b"%d" % number for number in range(count)]
        rates = [float(number) for number in range(count)]
        taken: list[bytes] = []
        self.assertEqual(len(list(ranked(names, rates, rates, taken.extend))), 3)
        self.assertEqual(taken, names[: -BUSIEST - 1 : -1])

    def test_manyLess(self) -> None:
        """Where enough are found, those that are less busy are left out at once."""
        count = 2 * AT_ONCE
        names = [b"%d" % number for number in range(count)]
        rates = [float(count - number) for number in range(count)]
        taken: list[bytes] = []
        self.assertEqual(len(list(ranked(names, rates, rates, taken.extend))), 2)
        self.assertEqual(taken, names[:BUSIEST])
