"""What was found damaged while the store ran, written down for the next start.

``HOME/memq/damaged`` holds one line that says what.  As long as it is there no store is
opened, or every restart would come back to the same damaged page, and each time a
client would be told an error instead of its message.
"""

from __future__ import annotations

import os
import re

from memq.errors import DamagedHome, DamagedStore
from memq.storage.datadir.files import replaceFile

_NAME = "damaged"

#: What Berkeley DB says of a page whose checksum is wrong, of one that is not what it
#: should be, and of one that a file is too short for.
_PAGE = re.compile(r"(\S+): pgin failed for page (\d+)")
_OTHERS = re.compile(
    "checksum error|illegal page type|page format|DB_PAGE_NOTFOUND|"
    "unknown page type|invalid page type"
)
#: What there is to do about it.
ADVICE = "restore HOME/memq from a backup, or start with --skip-damaged"


def damageIn(words: str) -> str | None:
    """Return what is damaged by what Berkeley DB says; None when nothing is."""
    found = _PAGE.search(words)
    if found:
        name = os.path.basename(found[1])
        return f"page {found[2]} of the file {name} is damaged"
    return f"a file is damaged: {words}" if _OTHERS.search(words) else None


def noteDamage(directory: str, error: DamagedStore) -> None:
    """Write down what is damaged.

    :raise OSError: when that cannot be; the next start finds out by itself.
    """
    line = " ".join(str(error).split())
    replaceFile(os.path.join(directory, _NAME), line.encode("utf-8", "replace") + b"\n")


def refuseDamaged(directory: str) -> None:
    """Refuse a home in which something was found damaged.

    :raise DamagedHome: with what was found.
    """
    path = os.path.join(directory, _NAME)
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = " ".join(file.read(1000).split())
    except FileNotFoundError:
        return
    raise DamagedHome(f"{path} says: {text}; {ADVICE}")
