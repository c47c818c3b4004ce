"""Lines about rules become commands, or are refused."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import BadLine, UnknownCommand
from memq.wire.rules.grammar import (
    ListRules,
    SetRule,
    ShowRule,
    TryRule,
    UnsetRule,
)
from memq.wire.text import parse
from memq.wire.words import Refused


class RuleTests(SynchronousTestCase):
    """Lines that begin with rule."""

    def test_commands(self) -> None:
        """Each word behind it is a command of its own, in capitals as well."""
        for line, command in (
            (b"rule set q* a 1", SetRule(b"q*", b"a 1")),
            (b"RULE SET q a 1  b [] ", SetRule(b"q", b"a 1 b []")),
            (b"rule try q a \xff", TryRule(b"q", b"a \xff")),
            (b"rule unset q", UnsetRule(b"q")),
            (b"rule unset q a", UnsetRule(b"q", b"a")),
            (b"rule list", ListRules()),
            (b"rule show q", ShowRule(b"q")),
        ):
            self.assertEqual(parse(line), command)

    def test_words(self) -> None:
        """Too few words are refused, too many, and others."""
        for line in (
            *(
                b"rule",
                b"rule set",
                b"rule set q",
                b"rule set q a",
                b"rule set q a 1 b",
            ),
            *(b"rule unset", b"rule unset q a b", b"rule list q", b"rule show"),
            *(b"rule show q a", b"rule drop q", b"rule try q"),
        ):
            refused = parse(line)
            assert isinstance(refused, Refused), line
            self.assertIsInstance(refused.error, UnknownCommand, line)

    def test_names(self) -> None:
        """What is no name and no pattern is refused."""
        for name in (b"a/b", b"a\tb", b"n" * 251):
            for line in (b"set %b a 1", b"unset %b", b"show %b", b"try %b a 1"):
                refused = parse(b"rule " + line % name)
                assert isinstance(refused, Refused), line
                self.assertIsInstance(refused.error, BadLine, line)
