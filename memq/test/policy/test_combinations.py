"""Which patterns can match one name."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.policy.combinations import TooMany, combinations, narrowest
from memq.policy.patterns import Pattern

_PATTERNS = some.text("abb*?[]", min_size=1, max_size=5).map(str.encode)
_NAMES = some.text("ab[]*", min_size=1, max_size=5).map(str.encode)


class CombinationTests(SynchronousTestCase):
    """Combinations of few patterns."""

    @settings(max_examples=200)
    @given(some.lists(_PATTERNS, max_size=5, unique=True), some.lists(_NAMES))
    def test_any(self, patterns: list[bytes], names: list[bytes]) -> None:
        """Those that match a name are a combination, and its narrowest are enough."""
        found = combinations(patterns, 100)
        for name in names:
            matching = frozenset(
                place
                for place, each in enumerate(patterns)
                if Pattern(each).matches(name)
            )
            if matching:
                self.assertIn(matching, found)
        for each in found:
            few = narrowest(patterns[place] for place in sorted(each))
            for name in names:
                self.assertEqual(
                    all(Pattern(pattern).matches(name) for pattern in few),
                    all(Pattern(patterns[place]).matches(name) for place in each),
                )

    def test_few(self) -> None:
        """Patterns in each other are no more combinations than they are."""
        names = [b"*", b"a*", b"ab*", b"abc*", b"*", b"x?"]
        self.assertEqual(
            sorted(map(sorted, combinations(names, 6))),
            [[0, 1, 2, 3, 4], [0, 1, 2, 4], [0, 1, 4], [0, 4], [0, 4, 5]],
        )
        self.assertEqual(narrowest(names), [b"abc*", b"x?"])

    def test_many(self) -> None:
        """More combinations than are allowed are refused, with one of the last."""
        error = self.assertRaises(TooMany, combinations, [b"a", b"b", b"c"], 2)
        self.assertEqual(error.some, frozenset((2,)))
        self.assertEqual(len(combinations([b"a*", b"*b"], 3)), 3)
        error = self.assertRaises(TooMany, combinations, [b"a*", b"*b"], 2)
        self.assertTrue(error.some <= {0, 1})
