"""Sections of pages that are measured apart, each by a bench of its own.

A section stands between two comments that name its bench; `--write` puts it there, and
`make bench`, which writes docs/performance.md anew, leaves it as it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bench.workspace import ROOT

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

PAGE = ROOT / "docs" / "performance.md"
#: The page of what is measured of a cluster.
CLUSTER = ROOT / "docs" / "cluster.md"
#: The benches that have one in PAGE, in its order.
NAMES = ("bench.observed", "bench.scraping", "bench.secured", "bench.strangers")


def addOption(parser: argparse.ArgumentParser, page: Path = PAGE) -> None:
    """Let an option say that the section is to be written into a page."""
    parser.add_argument("--write", action="store_true", help=f"into {page.name}")


def tell(name: str, text: str, isWritten: bool, page: Path = PAGE) -> None:
    """Print what was found, or write it into a page.

    :param name: the bench; of PAGE, one of NAMES.
    :param text: the section, with its heading if it has one.
    """
    if isWritten:
        old = page.read_text(encoding="utf-8")
        page.write_text(put(old, name, text), encoding="utf-8")
    else:
        print(text)


def put(page: str, name: str, text: str) -> str:
    """Return the page with a section, in its place or at the end."""
    before, _, rest = page.partition(_begin(name))
    _, _, after = rest.partition(_end(name))
    section = f"{_begin(name)}{text.strip()}\n{_end(name)}"
    if not rest:
        return f"{before.rstrip()}\n\n{section}"
    return f"{before}{section}{after}"


def keep(old: str, new: str) -> str:
    """Return a new page with the sections of the old one."""
    for name in NAMES:
        pattern = re.escape(_begin(name)) + "(.*?)" + re.escape(_end(name))
        found = re.search(pattern, old, re.DOTALL)
        if found:
            new = put(new, name, found[1])
    return new


def _begin(name: str) -> str:
    return f"<!-- begin: {name} -->\n"


def _end(name: str) -> str:
    return f"<!-- end: {name} -->\n"
