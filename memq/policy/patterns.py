"""Patterns as a shell has them, and which of many a name matches.

To try ten thousand patterns one by one takes milliseconds for each name, and a file of
that many is read with that many names.  So each pattern is filed under the longest
bytes that stand in it as they are, and only those are tried whose bytes a name has: it
is cut wherever such bytes may be, and the pieces are looked up.  A pattern without any
(``*``) is tried for every name.
"""

from __future__ import annotations

import re
from fnmatch import translate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The parts of a pattern, beside bytes that stand for themselves.
_WILD = re.compile(rb"\[!?\]?[^\]]*\]|[*?\[]")


class Pattern:
    """A pattern, or a name, which matches itself; compiled when it is first asked."""

    __slots__ = ("_compiled", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._compiled: re.Pattern[bytes] | None = None

    def matches(self, name: bytes) -> bool:
        """Return whether a name matches."""
        if self._compiled is None:
            # As fnmatch does it: each byte is one letter.
            expression = translate(self.text.decode("latin-1")).encode("latin-1")
            self._compiled = re.compile(expression)
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
