"""What lines are made of: names, numbers, and the answer to a line that is refused.

No I/O, no state, no Twisted.  :mod:`memq.wire.text` and :mod:`memq.wire.extensions`
share it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from memq.errors import QueueError, UnknownCommand

if TYPE_CHECKING:
    from collections.abc import Callable

#: The largest number of bytes that a line may announce.
MAX_SIZE = 2_147_483_645
#: The largest flags: a u32.
MAX_FLAGS = 4_294_967_295
#: The largest number of ten digits, which is as many as one may have.
MAX_NUMBER = 9_999_999_999
_MAX_DIGITS = 10
#: The last word of a command that is to be answered nothing.
NOREPLY = b"noreply"

#: A queue name: "/" begins an option, and no name has a blank or control byte.
isName = re.compile(rb"[^\x00-\x20\x7f/]{1,250}").fullmatch


class Refused(NamedTuple):
    """Answer an error, and throw away a body of ``size`` bytes, None if none.

    :ivar closes: whether the connection is closed then, since a body may follow, and
        nobody knows where it ends.
    """

    error: QueueError
    size: int | None = None
    noreply: bool = False
    closes: bool = False


def unsized(
    error: QueueError, size: int | None = None, noreply: bool = False
) -> Refused:
    """Refuse a line that a body follows.

    :param size: bytes of the body; None if that is not known, which closes.
    """
    return Refused(error, size, noreply, size is None)


_Record = TypeVar("_Record")


def number(word: bytes, most: int) -> int | None:
    """Return a word of digits as a number, None when it is none up to ``most``."""
    if not word.isdigit() or len(word) > _MAX_DIGITS:
        return None
    value = int(word)
    return value if value <= most else None


def alone(command: _Record) -> Callable[[list[bytes]], _Record | Refused]:
    """Return a parser for a command that is a word and nothing else."""

    def parseAlone(words: list[bytes]) -> _Record | Refused:
        return command if len(words) == 1 else Refused(UnknownCommand())

    return parseAlone
