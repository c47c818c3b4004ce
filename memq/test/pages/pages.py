"""The project's pages: what of them a test can read, blocks and tables.

Enough of Markdown for README.md and docs/, and no more.  The parts that tests of pages
share are here as well.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from glob import glob
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from testkit.servers import ROOT

#: Those that are read as man pages, too.
MAN_PAGES = tuple(
    sorted(os.path.relpath(path, ROOT) for path in glob(f"{ROOT}/docs/man/*.md"))
)
#: Those whose blocks are all run, or looked at.
RUN_PAGES = (
    "README.md",
    "README.zh-CN.md",
    "docs/operation.md",
    "docs/memcacheq.md",
    "docs/security.md",
    *MAN_PAGES,
)

#: The pages, below the project's directory.
PAGES = (
    *RUN_PAGES,
    "CONTRIBUTING.md",
    "docs/clients.md",
    "docs/clients.zh-CN.md",
    "docs/cluster.md",
    "docs/api.md",
    "docs/protocol.md",
    "docs/design.md",
    "docs/performance.md",
    "docs/reliability.md",
)

#: Why tests of pages are skipped; None when they can run.
SKIP = (
    None
    if os.path.exists(os.path.join(ROOT, "README.md"))
    else "this memq is installed without its pages"
)


class Block(NamedTuple):
    """A fenced block.

    :ivar kind: the words behind the opening fence.
    :ivar text: the lines between the fences.
    """

    kind: str
    text: str


class Table(NamedTuple):
    """A table, each cell as it is written, without the spaces around it."""

    header: list[str]
    rows: list[list[str]]


class Definition(NamedTuple):
    """An entry of a list of definitions.

    :ivar term: the line that is defined, as it is written.
    :ivar text: what it is, in one line.
    """

    term: str
    text: str


class Section(NamedTuple):
    """A heading and what stands below it, up to the next one.

    :ivar level: of the heading, 1 for that of the page.
    :ivar parts: the kind of each paragraph, table and block, in order: for a block its
        words, for a table its columns and rows, for a list its entries, counted.
    :ivar blocks: the fenced blocks.
    :ivar links: where the links lead.
    :ivar words: how often each word stands in it as code, heading and tables included.
    """

    level: int
    parts: list[tuple[str, ...]]
    blocks: list[Block]
    links: list[str]
    words: Counter[str]


def readPage(path: str) -> str:
    """Return the text of a file below the project's directory."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    found = re.findall(r"^```([^\n`]*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert page.count("```") == 2 * len(found), "a fence is not at its line's start"
    assert "~~~" not in page, "blocks are fenced with ``` only"
    return [Block(kind, text) for kind, text in found]


def tables(page: str) -> list[Table]:
    """Return the tables of a page; no cell has a bar in it."""
    found = []
    for text in re.findall(r"(?:^\|.*\|\n)+", page, re.MULTILINE):
        header, line, *rows = [
            [cell.strip(" ") for cell in row[1:-1].split("|")]
            for row in text.splitlines()
        ]
        assert all(re.fullmatch("-+", cell) for cell in line), line
        assert all(len(row) == len(header) for row in rows), text
        found.append(Table(header, rows))
    return found


def prose(page: str) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)


def definitions(page: str) -> list[Definition]:
    """Return the entries of the lists of definitions of a page."""
    found = re.findall(
        r"^(\S.*)\n:   (.*\n(?:\n?    .*\n)*)", prose(page), flags=re.MULTILINE
    )
    return [Definition(term, " ".join(text.split())) for term, text in found]


def words(page: str) -> list[str]:
    """Return what stands as code within the lines of a page."""
    return [" ".join(word.split()) for word in re.findall("`([^`]+)`", prose(page))]


def links(page: str) -> list[str]:
    """Return where the links of a page lead, in their order."""
    return re.findall(r"\]\(([^)]+)\)", prose(page))


def anchors(page: str) -> list[str]:
    """Return the names by which links reach the headings of a page, as GitHub has them.

    Headings are in lower case there, without marks, and with a dash for each space.
    """
    headings = re.findall("^#+ (.+)$", page, re.MULTILINE)
    return [re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings]


def sections(page: str) -> list[Section]:
    """Return the sections of a page; it begins with a heading."""
    # No line of a block is a heading, whatever it begins with.
    hidden = re.sub(
        r"^```.*?^```$",
        lambda block: block[0].replace("\n#", "\n\0#"),
        page,
        flags=re.MULTILINE | re.DOTALL,
    )
    texts = re.split(r"^(?=#+ )", hidden, flags=re.MULTILINE)
    assert texts[0] == "", texts[0]
    return [_section(text.replace("\0", "")) for text in texts[1:]]


def _section(text: str) -> Section:
    level = len(text) - len(text.lstrip("#"))
    found = blocks(text)
    short = re.sub(r"^(```.*)\n(?:.*\n)*?```$", r"\1", text, flags=re.MULTILINE)
    parts = [_part(part) for part in re.split(r"\n\n+", short.strip())]
    return Section(level, parts, found, links(text), Counter(words(text)))


def _part(text: str) -> tuple[str, ...]:
    if text.startswith("```"):
        return ("block", text[3:])
    for table in tables(text + "\n"):
        return ("table", str(len(table.header)), str(len(table.rows)))
    entries = re.findall("^- ", text, re.MULTILINE)
    return ("list", str(len(entries))) if entries else ("paragraph",)


class PageTestCase(SynchronousTestCase):
    """A test of pages; a memq without its pages has nothing to test."""

    skip = SKIP

    def setUp(self) -> None:
        """Read the one that most tests are about."""
        self.readme = readPage("README.md")

    def ofKind(self, kind: str) -> list[str]:
        """Return the blocks of a kind, of which there is one at least, each once."""
        pages = [readPage(path) for path in RUN_PAGES]
        found = [b.text for page in pages for b in blocks(page) if b.kind == kind]
        self.assertNotEqual(found, [])
        return list(dict.fromkeys(found))

    def table(self, path: str, *header: str) -> Table:
        """Return the one table of a page that has this header."""
        (found,) = (
            table for table in tables(readPage(path)) if table.header == list(header)
        )
        return found
