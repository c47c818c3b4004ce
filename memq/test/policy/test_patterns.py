"""Of many patterns, those are found that a name matches."""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.policy.patterns import Pattern, Patterns, matcher, meet

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


class MatcherTests(SynchronousTestCase):
    """Whether a name matches any of some patterns."""

    def test_any(self) -> None:
        """Few or many, it is as each of them says; without any there is none."""
        self.assertIsNone(matcher([]))
        texts = [b"a*", b"*b", b"[!c]d", b"e?", b"\xc3[f-h]*", b"x.y", b"*i*j", b"*k"]
        names = [b"a", b"ab", b"b", b"dd", b"cd", b"e", b"ef", b"\xc3g", b"xzy", b"ij"]
        names += [b"x.y", b"j", b"i\nj", b"k\n", b"\nk"]
        for times in (1, 3):
            matches = matcher(texts * times)
            assert matches is not None
            for name in names:
                expected = any(Pattern(text).matches(name) for text in texts)
                self.assertIs(bool(matches(name)), expected, name)


class MeetTests(SynchronousTestCase):
    """Patterns that can match the same name."""

    @staticmethod
    def names(letters: bytes, most: int) -> list[bytes]:
        """Return all names of so many letters."""
        sizes = range(1, most + 1)
        return [bytes(each) for size in sizes for each in product(letters, repeat=size)]

    def share(self, names: list[bytes], *patterns: bytes) -> bool:
        """Return whether one of some names matches all patterns."""
        return any(
            all(Pattern(each).matches(name) for each in patterns) for name in names
        )

    @settings(max_examples=150)
    @given(*[some.text("ab*?", min_size=1, max_size=4).map(str.encode)] * 2)
    def test_any(self, first: bytes, second: bytes) -> None:
        """Two meet if there is a name that both match, and only then."""
        # No shorter pattern has a longer shortest name.
        isFound = self.share(self.names(b"ab", 6), first, second)
        self.assertIs(meet(first, second), isFound)

    @settings(max_examples=150)
    @given(*[some.text("aab*?[]!-", min_size=1, max_size=4).map(str.encode)] * 2)
    def test_brackets(self, first: bytes, second: bytes) -> None:
        """With brackets, too, two meet if there is a name that both match."""
        names = [*self.names(b"ab!-", 4), first, second]
        if self.share(names, first, second):
            self.assertTrue(meet(first, second))
        self.assertEqual(meet(first, second), meet(second, first))

    def test_known(self) -> None:
        """Patterns that are told apart, and others."""
        for first, second, isSo in (
            (b"jobs.*", b"mail.*", False),
            (b"jobs.*", b"*.mail", True),
            (b"jobs.*", b"jobs", False),
            (b"*", b"*", True),
            (b"a*b", b"*c", False),
            (b"[a-c]x", b"[d-f]x", False),
            (b"[a-c]x", b"[c-f]?", True),
            (b"[b-a]*", b"*", False),
            (b"*", b"[b-a]", False),
            (b"[b-a]", b"?", False),
            (b"[!a]", b"a", False),
            (b"[*]", b"a", False),
            (b"\xc3?", "é".encode(), True),
            (b"*a" * 125, b"*b" * 125, False),
            (b"*a" * 125, b"b*" * 125, True),
        ):
            self.assertIs(meet(first, second), isSo, (first, second))
            self.assertIs(meet(second, first), isSo, (first, second))
