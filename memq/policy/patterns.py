"""Patterns as a shell has them, and which of many a name matches.

To try ten thousand patterns one by one takes milliseconds for each name, and a file of
that many is read with that many names.  So each pattern is filed under the longest
bytes that stand in it as they are, and only those are tried whose bytes a name has: it
is cut wherever such bytes may be, and the pieces are looked up.  A pattern without any
(``*``) is tried for every name.

Whether two patterns can match one name is found step by step, from their ends: no part
of a pattern is longer than a byte, but for stars.
"""

from __future__ import annotations

import re
from fnmatch import translate
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: The parts of a pattern, beside bytes that stand for themselves.
_WILD = re.compile(rb"\[!?\]?[^\]]*\]|[*?\[]")


#: Patterns that are tried one by one, at most.
_FEW = 16


def _expression(text: bytes) -> bytes:
    """Return the regular expression of a pattern, as fnmatch does it."""
    # Each byte is one letter.
    return translate(text.decode("latin-1")).encode("latin-1")


class Pattern:
    """A pattern, or a name, which matches itself; compiled when it is first asked."""

    __slots__ = ("_compiled", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._compiled: re.Pattern[bytes] | None = None

    def matches(self, name: bytes) -> bool:
        """Return whether a name matches."""
        if self._compiled is None:
            self._compiled = re.compile(_expression(self.text))
        return self._compiled.match(name) is not None


class Patterns:
    """Many patterns, each with a number."""

    def __init__(self, patterns: Iterable[tuple[int, bytes]]) -> None:
        """File them.

        :param patterns: each with its number, which grows.
        """
        #: By where its bytes stand, by how many there are, by which they are.
        self._begins: dict[int, dict[bytes, list[tuple[int, Pattern]]]] = {}
        self._within: dict[int, dict[bytes, list[tuple[int, Pattern]]]] = {}
        self._any: list[tuple[int, Pattern]] = []
        for number, text in patterns:
            filed = number, Pattern(text)
            first, *others = _WILD.split(text)
            longest = max([b"", *others], key=len)
            if not first and not longest:
                self._any.append(filed)
                continue
            # Where a name begins is one place to look at.
            at, bytes_ = self._within, longest
            if len(first) >= len(longest):
                at, bytes_ = self._begins, first
            at.setdefault(len(bytes_), {}).setdefault(bytes_, []).append(filed)

    def matching(self, name: bytes) -> list[int]:
        """Return the numbers of those that a name matches, the lowest first."""
        tried = list(self._any)
        for size, begins in self._begins.items():
            tried += begins.get(name[:size], ())
        for size, within in self._within.items():
            last = len(name) - size
            for piece in {name[at : at + size] for at in range(last + 1)}:
                tried += within.get(piece, ())
        return sorted(number for number, pattern in tried if pattern.matches(name))


def matcher(texts: Iterable[bytes]) -> Callable[[bytes], object] | None:
    """Return what tells whether a name matches any of some patterns; None without any.

    To try a few at once takes a tenth of the time that many take.
    """
    patterns = list(texts)
    if len(patterns) > _FEW:
        return Patterns(enumerate(patterns)).matching
    return re.compile(b"|".join(map(_expression, patterns))).match if patterns else None


#: Bytes that a name may have.
BYTES = frozenset(range(0x21, 0x100)) - frozenset(b"/\x7f")
#: A star, which matches any of them, and as many as there are.
STAR = None


def meet(first: bytes, second: bytes) -> bool:
    """Tell whether a name can match two patterns, or names.

    Lengths of names are no matter: one of more than 250 bytes counts as well.
    """
    begins = [_WILD.split(text, maxsplit=1)[0] for text in (first, second)]
    shorter = min(map(len, begins))
    if begins[0][:shorter] != begins[1][:shorter]:
        return False
    ours, others = parts(first), parts(second)
    # Whether what follows a place in the one can match what follows a place in the
    # other; of one place in ours and each in others.
    after = [all(part is STAR for part in others[at:]) for at in range(len(others))]
    after.append(True)
    for at in range(len(ours) - 1, -1, -1):
        after = _before(ours[at], others, after)
    return after[0]


def _before(
    ours: frozenset[int] | None,
    others: list[frozenset[int] | None],
    after: list[bool],
) -> list[bool]:
    """Return what ``after`` is for the place before."""
    found = [False] * len(others) + [ours is STAR and after[-1]]
    for at in range(len(others) - 1, -1, -1):
        theirs = others[at]
        if ours is STAR:
            found[at] = after[at] or (found[at + 1] and theirs != frozenset())
        elif theirs is STAR:
            found[at] = found[at + 1] or (bool(ours) and after[at])
        else:
            found[at] = after[at + 1] and not ours.isdisjoint(theirs)
    return found


def parts(text: bytes) -> list[frozenset[int] | None]:
    """Return the parts of a pattern: the bytes that each may be, or STAR."""
    found: list[frozenset[int] | None] = []
    start = 0
    for wild in _WILD.finditer(text):
        found += map(_one, text[start : wild.start()])
        # Those have no end: each of their bytes stands for itself.
        if wild[0] in (b"[]", b"[!]"):
            found += map(_one, wild[0])
        else:
            found.append(STAR if wild[0] == b"*" else _set(wild[0]))
        start = wild.end()
    return found + list(map(_one, text[start:]))


def _one(byte: int) -> frozenset[int]:
    return frozenset((byte,))


@lru_cache(256)
def _set(text: bytes) -> frozenset[int]:
    """Return the bytes that a pattern of one byte matches."""
    matches = Pattern(text).matches
    return frozenset(byte for byte in BYTES if matches(bytes((byte,))))
