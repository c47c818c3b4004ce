"""Files: those of the page, read once at the start and served from memory.

Each has a type that is fixed by its ending, a tag that changes with its bytes, and a
form in gzip.  A browser keeps them and asks each time whether they are still those, so
that after an update nothing old is shown with something new.

Nothing is looked for on the disk after the start: no path leads anywhere else.
"""

from __future__ import annotations

import gzip
import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from memq.web.http.site import Page

if TYPE_CHECKING:
    from twisted.web.resource import Resource

#: Where the files lie.
STATIC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "static")
#: The types of files by their endings; others are no part of the page.
TYPES = {
    ".css": b"text/css; charset=utf-8",
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}
#: The file at ``/``.
INDEX = "index.html"


def takesGzip(accepted: bytes) -> bool:
    """Return whether a header Accept-Encoding names gzip, and does not refuse it."""
    for part in accepted.lower().split(b","):
        name, _, weight = part.partition(b";")
        if name.strip() == b"gzip":
            return weight.replace(b" ", b"").rstrip(b".0") != b"q="
    return False


class File(Page):
    """A file.

    :ivar type: the value of Content-Type.
    :ivar data: its bytes.
    """

    def __init__(self, kind: bytes, data: bytes) -> None:
        """Pack it, and make its tag."""
        super().__init__()
        self.type = kind
        self.data = data
        # Without a time, so that its bytes are the same at each start.
        self._packed = gzip.compress(data, mtime=0)
        self._tag = sha256(data).hexdigest()[:16].encode()

    def show(self, request: Any) -> bytes:
        """Return its bytes, or nothing to a browser that has them."""
        isPacked = takesGzip(request.getHeader(b"accept-encoding") or b"")
        request.setHeader(b"Content-Type", self.type)
        request.setHeader(b"Cache-Control", b"no-cache")
        request.setHeader(b"Vary", b"Accept-Encoding")
        if request.setETag(b'"%s%s"' % (self._tag, b"-gzip" * isPacked)):
            return b""
        if isPacked:
            request.setHeader(b"Content-Encoding", b"gzip")
        return self._packed if isPacked else self.data


def readFiles() -> dict[str, File]:
    """Return the files of the page by their names.

    :raises OSError: a file cannot be read.
    """
    files = {}
    for name in sorted(os.listdir(STATIC)):
        kind = TYPES.get(os.path.splitext(name)[1])
        if kind is not None:
            with open(os.path.join(STATIC, name), "rb") as file:
                files[name] = File(kind, file.read())
    return files


def addPage(root: Resource) -> None:
    """Put the page at ``/``, and the other files below ``/page/``."""
    files = readFiles()
    root.putChild(b"", files.pop(INDEX))
    below = Page()
    for name, file in files.items():
        below.putChild(name.encode(), file)
    root.putChild(b"page", below)
