"""The rules are read again, or stay as they are."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from memq.config import file
from memq.config.file import Config, findConfig
from memq.config.reloader import PolicyReloader
from memq.errors import ConfigError
from memq.policy.rules import Rule, Rules

LIMIT = "[queue.q]\nmax_items = {}\n"


class RulebookTests(SynchronousTestCase):
    """A book whose file changes."""

    def setUp(self) -> None:
        """Name the file, which is not there yet."""
        self.path = os.path.abspath(self.mktemp())
        self.patch(file, "DEFAULT", self.path)
        self.said: list[str] = []

    def write(self, text: str) -> None:
        """Change the file."""
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)

    def opened(self) -> PolicyReloader:
        """Return the book as a server begins with it."""
        return PolicyReloader(findConfig(None), self.said.append)

    def test_replaced(self) -> None:
        """Rules are replaced as a whole; those of before do not change."""
        self.write(LIMIT.format(1))
        book = self.opened()
        before = book.rules
        self.write(LIMIT.format(2))
        self.assertEqual(book.rules.of(b"q"), Rule(maxItems=1))
        book.take(book.read())
        self.assertEqual(book.rules.of(b"q"), Rule(maxItems=2))
        self.assertEqual(before.of(b"q"), Rule(maxItems=1))
        told: list[Rules] = []
        book.onChange = told.append
        book.take(book.read())
        self.assertIs(told.pop(), book.rules)
        said = f"{self.path} is read again: 1 [queue] tables"
        self.assertEqual(self.said, [said] * 2)

    def test_mistake(self) -> None:
        """A file with a mistake changes nothing, wherever it is."""
        self.write(LIMIT.format(1))
        book = self.opened()
        before = book.rules
        for text in ("[", LIMIT.format(-1), LIMIT.format(2) + "[server]\nport = -1\n"):
            self.write(text)
            error = self.assertRaises(ConfigError, book.read)
            self.assertIn(self.path, str(error))
        os.remove(self.path)
        self.assertRaises(ConfigError, book.read)
        self.assertIs(book.rules, before)
        self.assertEqual(self.said, [])

    def test_appeared(self) -> None:
        """A file that is at the default place by now is read, and has to stay."""
        book = self.opened()
        book.take(book.read())
        self.assertTrue(book.rules.isEmpty)
        self.assertEqual(self.said, [])
        self.write(LIMIT.format(1))
        book.take(book.read())
        self.assertFalse(book.rules.isEmpty)
        os.remove(self.path)
        self.assertRaises(ConfigError, book.read)

    def test_notRead(self) -> None:
        """With --no-config none is read."""
        self.write(LIMIT.format(1))
        book = PolicyReloader(Config(), self.said.append, isRead=False)
        book.take(book.read())
        self.assertTrue(book.rules.isEmpty)

    def test_server(self) -> None:
        """What has changed in [server] since the start is named each time."""
        self.write("[server]\nport = 1\nhome = '/h'\nno-sync = true\n")
        book = self.opened()
        self.write("[server]\nport = 2\nhome = '/h'\nverbose = 1\n")
        for _ in range(2):
            book.take(book.read())
        expected = (
            f"{self.path}: changed in [server], and takes effect when memq is started "
            "again: no-sync, port, verbose"
        )
        self.assertEqual(self.said[1::2], [expected] * 2)
