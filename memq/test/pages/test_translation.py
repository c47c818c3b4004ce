"""A page in Chinese says what the one in English says: both are changed together."""

from __future__ import annotations

import os
from typing import ClassVar

from memq.test.pages.pages import PageTestCase, readPage, sections


class READMETests(PageTestCase):
    """Parts that the pages of two languages have in common."""

    #: The pages in English and in Chinese.
    pages: ClassVar[tuple[str, str]] = ("README.md", "README.zh-CN.md")

    def setUp(self) -> None:
        """Take both pages apart."""
        super().setUp()
        self.english, self.chinese = (sections(readPage(path)) for path in self.pages)

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
        english, chinese = map(os.path.basename, self.pages)
        for one, other in zip(self.english, self.chinese, strict=True):
            expected = [english if link == chinese else link for link in one.links]
            self.assertEqual(expected, other.links)
        self.assertEqual(self.english[0].links[:1], [chinese])

    def test_words(self) -> None:
        """Each section has the same words as code, each as often."""
        for one, other in zip(self.english, self.chinese, strict=True):
            self.assertEqual(one.words, other.words)


class ClientsTests(READMETests):
    """docs/clients.md, likewise."""

    pages = ("docs/clients.md", "docs/clients.zh-CN.md")
