"""A rule has a default for everything."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.policy.rule import FIELDS, Rule, isPattern, quoted


class RuleTests(SynchronousTestCase):
    """Rules that hold for a queue."""

    def test_nothing(self) -> None:
        """By default nothing holds."""
        self.assertFalse(any(Rule()))

    def test_fields(self) -> None:
        """Every field can be said in a table but the one that is worked out."""
        self.assertEqual([*FIELDS.values(), "reaches"], list(Rule._fields))


class NameTests(SynchronousTestCase):
    """Names of tables and queues."""

    def test_patterns(self) -> None:
        """A pattern has a star, a question mark or a bracket in it."""
        for name in (b"*", b"a?", b"[a]", b"a["):
            self.assertTrue(isPattern(name))
        for name in (b"a", b"a]", b"!-", "é".encode()):
            self.assertFalse(isPattern(name))

    def test_quoted(self) -> None:
        """A name is shown in one line, whatever is in it."""
        self.assertEqual(quoted(b"a-1"), "a-1")
        self.assertEqual(quoted("é\u200b".encode()), r'"\u00e9\u200b"')
        self.assertEqual(quoted(b"\xff"), r'"\\xff"')
