"""The grammar of an import: ``import begin`` and ``import put``.

    import begin <token> [append]
    import put <chunk>

A token is 32 hexadecimal digits, by which the server knows the import again after the
client was killed.  A chunk is items (:mod:`memq.wire.imports.items`) in base64 with
``-`` and ``_``.  So a client that does not know of imports says none by accident, and a
body that a server takes for lines is none.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from binascii import a2b_base64
from typing import NamedTuple

from memq.errors import BadLine, UnknownCommand
from memq.wire.forms import PLAIN, Form
from memq.wire.words import Refused

#: Bytes of items that a chunk has, at most: with its word, a line may be no longer.
MAX_CHUNK = 49_000

#: Makes usual base64 of one with - and _, and nothing of what is usual.
_PLAIN = bytes.maketrans(b"-_+/", b"+/!!")
isToken = re.compile(rb"[0-9a-f]{32}").fullmatch
#: What the audit says of one that has begun; the client is told how far it is.
BEGINS = Form(b"IMPORTED\r\n")


class Chunk:
    """Items as bytes; no log shows them."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __str__(self) -> str:
        """Return how much it is."""
        return f"{len(self.data)}"


class Begin(NamedTuple):
    """Begin an import, or ask how far it is.

    :ivar token: as it was sent: 32 hexadecimal digits.
    :ivar append: whether queues that have messages are appended to.
    """

    token: bytes
    append: bool = False
    form: Form = BEGINS


class Put(NamedTuple):
    """Import what comes next."""

    chunk: Chunk
    form: Form = PLAIN


def parseImport(words: list[bytes]) -> Begin | Put | Refused:
    """Return the command that a line is.

    :param words: of the line, ``import`` among them.
    """
    match words[1:]:
        case [b"put", text]:
            return _parsePut(text)
        case [b"begin", token, *rest] if rest in ([], [b"append"]):
            return _parseBegin(token, bool(rest))
        case _:
            return Refused(UnknownCommand())


def _parseBegin(token: bytes, append: bool) -> Begin | Refused:
    return Begin(token, append) if isToken(token) else Refused(BadLine())


def _parsePut(text: bytes) -> Put | Refused:
    try:
        data = a2b_base64(text.translate(_PLAIN), strict_mode=True)
    except ValueError:
        return Refused(BadLine())
    return Put(Chunk(data)) if 0 < len(data) <= MAX_CHUNK else Refused(BadLine())


def beginLine(token: bytes, append: bool) -> bytes:
    """Return the line that begins an import, with its end."""
    return b"import begin %b%b\r\n" % (token.hex().encode(), b" append" * append)


def putLine(data: bytes) -> bytes:
    """Return the line of a chunk, with its end."""
    return b"import put %b\r\n" % urlsafe_b64encode(data)
