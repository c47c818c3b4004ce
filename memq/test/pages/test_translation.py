"""README.zh-CN.md says what README.md says: whoever changes one has to change both."""

from __future__ import annotations

from memq.test.pages.pages import PageTestCase, readPage, sections

PAGES = ("README.md", "README.zh-CN.md")


class TranslationTests(PageTestCase):
    """Parts that the pages of two languages have in common."""

    def setUp(self) -> None:
        """Take both pages apart."""
        super().setUp()
        self.english, self.chinese = (sections(readPage(path)) for path in PAGES)

    def test_headings(self) -> None:
        """Both have as many headings, on the same levels."""
        levels = [section.level for section in self.english]
        self.assertEqual(levels, [section.level for section in self.chinese])

    def test_blocks(self) -> None:
        """The blocks of each section are the same, byte for byte."""
        for one, other in zip(self.english, self.chinese, strict=True):
            self.assertEqual(one.blocks, other.blocks)

    def test_parts(self) -> None:
        """Each section has as many paragraphs, entries and rows, in the same order."""
        for one, other in zip(self.english, self.chinese, strict=True):
            self.assertEqual(one.parts, other.parts)

    def test_links(self) -> None:
        """Each section leads to the same places, the first to the other language."""
        for one, other in zip(self.english, self.chinese, strict=True):
            expected = [PAGES[0] if link == PAGES[1] else link for link in one.links]
            self.assertEqual(expected, other.links)
        self.assertEqual(self.english[0].links, [PAGES[1]])

    def test_words(self) -> None:
        """Each section has the same words as code, each as often."""
        for one, other in zip(self.english, self.chinese, strict=True):
            self.assertEqual(one.words, other.words)
