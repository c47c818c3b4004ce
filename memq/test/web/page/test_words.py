"""The words of the page: the same ones in each language, and none too many."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from memq.test.web.page.test_files import texts

#: A line of a table of words.
_WORD = re.compile(r'^  (\w+): "(.*)",$', re.MULTILINE)
#: Beginnings of keys whose ends are made from what the server says.
_MADE = ("action_", "done_", "reason_", "right_", "role_", "scheme_")


def table(name: str) -> dict[str, str]:
    """Return the words of a file by their keys."""
    text = texts()[name]
    found = _WORD.findall(text)
    # Comment, head and end beside one line for each.
    assert len(text.splitlines()) == len(found) + 4, name
    return dict(found)


class WordsTests(SynchronousTestCase):
    """English and Chinese."""

    def setUp(self) -> None:
        """Read both tables."""
        self.english = table("english.js")
        self.chinese = table("chinese.js")

    def test_same(self) -> None:
        """Both have the same keys, in order, each once."""
        self.assertEqual(list(self.english), list(self.chinese))
        for name in ("english.js", "chinese.js"):
            keys = [key for key, _ in _WORD.findall(texts()[name])]
            self.assertEqual(len(keys), len(set(keys)))

    def test_values(self) -> None:
        """Both name the same values."""
        for key, text in self.english.items():
            names = [re.findall(r"\{\w+\}", each) for each in (text, self.chinese[key])]
            self.assertEqual(sorted(names[0]), sorted(names[1]), key)
            self.assertTrue(text and self.chinese[key], key)

    def test_used(self) -> None:
        """Each key is used, and each that is used is there."""
        code = "\n".join(
            text
            for name, text in texts().items()
            if name.endswith(".js") and name not in ("english.js", "chinese.js")
        )
        asked = set(re.findall(r'\bt\(\s*"(\w+)"', code))
        self.assertEqual(asked - set(self.english), set())
        made = {key for key in self.english if key.startswith(_MADE)}
        told = set(re.findall(r'"(\w+)"', code))
        self.assertEqual(set(self.english) - made - told, set())
