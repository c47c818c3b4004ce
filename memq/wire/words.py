"""Words of a line: names, numbers, a command's arguments, and the refusal of a line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.errors import BadLine, QueueError, UnknownCommand
from memq.wire.forms import PLAIN, SILENT, Form, spoken

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
#: More words than a line has.
NEVER = 1 << 30

#: A queue name: "/" begins an option, and no name has a blank or control byte.
isName = re.compile(rb"[^\x00-\x20\x7f/]{1,250}").fullmatch


class Refused(NamedTuple):
    """Answer an error, and throw away a body of ``size`` bytes, None if none.

    :ivar closes: whether the connection is closed then, since a body may follow, and
        nobody knows where it ends.
    """

    error: QueueError
    size: int | None = None
    form: Form = PLAIN
    closes: bool = False


def unsized(error: QueueError, size: int | None = None, form: Form = PLAIN) -> Refused:
    """Refuse a line that a body follows.

    :param size: bytes of the body; None if that is not known, which closes.
    """
    return Refused(error, size, form, size is None)


def number(
    word: bytes, most: int, least: int = 0, digits: int = _MAX_DIGITS
) -> int | None:
    """Return a word of digits as a number, None when it is none from least to most.

    :param digits: as many as it has at most, zeros in front counted.
    """
    if not word.isdigit() or len(word) > digits:
        return None
    value = int(word)
    return value if least <= value <= most else None


def name(word: bytes) -> bytes | None:
    """Return a word that is a queue's name, None when it is none."""
    return word if isName(word) else None


def syntax(
    make: Callable[..., Any],
    *arguments: Callable[[bytes], object],
    least: int = 1,
    silentFrom: int = NEVER,
) -> Callable[[list[bytes]], Any]:
    """Return a parser for a command of so many arguments, each a word.

    :param make: returns the command of what the arguments are, with ``form=SILENT``
        if it is to be answered nothing.
    :param arguments: each returns what a word is, None when that is wrong; the last
        ones may be missing.
    :param least: words of the line at least, the command's own among them.
    :param silentFrom: words from which on the last one may be noreply.
    """

    def parseArguments(words: list[bytes]) -> Any:
        count = len(words)
        noreply = count >= silentFrom and words[-1] == NOREPLY
        given = words[1 : count - noreply]
        if count < least or len(given) > len(arguments):
            return Refused(UnknownCommand(), form=spoken(PLAIN, noreply))
        values = [read(word) for read, word in zip(arguments, given, strict=False)]
        if None in values:
            return Refused(BadLine(), form=spoken(PLAIN, noreply))
        return make(*values, form=SILENT) if noreply else make(*values)

    return parseArguments
