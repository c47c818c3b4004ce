"""The project's pages: what of them a test can read, blocks and tables.

Enough of Markdown for README.md and docs/, and no more.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from memq.test.servers import ROOT

#: The pages, below the project's directory.
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/protocol.md",
    "docs/design.md",
    "docs/performance.md",
    "docs/reliability.md",
    "docs/man/memq.toml.5.md",
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
