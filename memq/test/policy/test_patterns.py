"""Of many patterns, those are found that a name matches."""

from __future__ import annotations

from fnmatch import fnmatchcase

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.policy.patterns import Pattern, Patterns

#: Few letters, so that many match, with all that is special in a pattern.
_LETTERS = some.sampled_from(b"aaab*?[]!^-\xc3\xa9")
_TEXTS = some.lists(_LETTERS, min_size=1, max_size=8).map(bytes)


def text(name: bytes) -> str:
    """Return a name as fnmatch takes it: each byte a letter."""
    return name.decode("latin-1")


class PatternsTests(SynchronousTestCase):
    """Patterns and names."""

    @settings(max_examples=500)
    @given(some.lists(_TEXTS, max_size=6), some.lists(_TEXTS, max_size=6))
    def test_any(self, patterns: list[bytes], names: list[bytes]) -> None:
        """They are the same that are found one by one, in their order."""
        many = Patterns(enumerate(patterns))
        for name in [*names, *patterns, b""]:
            expected = [
                number
                for number, pattern in enumerate(patterns)
                if fnmatchcase(text(name), text(pattern))
            ]
            self.assertEqual(many.matching(name), expected)

    def test_few(self) -> None:
        """Few of many are tried: those that have bytes in common with the name."""
        tried: list[bytes] = []
        matches = Pattern.matches

        def counted(pattern: Pattern, name: bytes) -> bool:
            tried.append(pattern.text)
            return matches(pattern, name)

        self.patch(Pattern, "matches", counted)
        forms = (b"team%d.*", b"*.team%d", b"*-team%d-?", b"[ab]*/team%d/*")
        patterns = [form % number for number in range(2000) for form in forms]
        many = Patterns(enumerate([*patterns, b"*"]))
        for name in (b"team7.a", b"a.team7", b"x-team7-y", b"a.b/team7/c"):
            tried.clear()
            self.assertEqual(len(many.matching(name)), 2, name)
            self.assertLess(len(tried), 5)
