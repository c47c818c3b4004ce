"""Combinations of patterns that can match one name.

Two patterns count as matching one name if they can, and three if each two of them can.
Where one matches all that another does, as ``*``, it is in each combination with it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from memq.policy.patterns import Pattern, meet

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: What ends the letters with which a pattern begins, or begins those at its end.
_WILD = re.compile(rb"[*?\[\]]")


class TooMany(Exception):
    """There are more combinations than were allowed.

    :ivar some: one of those that were found last.
    """

    def __init__(self, some: frozenset[int]) -> None:
        super().__init__(some)
        self.some = some


def combinations(names: Sequence[bytes], most: int) -> set[frozenset[int]]:
    """Return which patterns can match one name, by their places.

    :param most: how many there may be.
    :raise TooMany: when there are more.
    """
    if len(names) > most:
        raise TooMany(frozenset((most,)))
    joint = _joint(names)
    wider = [
        frozenset((one, *(each for each in others if _has(names[each], names[one]))))
        for one, others in enumerate(joint)
    ]
    found: set[frozenset[int]] = set()
    waiting = list(wider)
    while waiting:
        some = waiting.pop()
        if some in found:
            continue
        if len(found) == most:
            raise TooMany(some)
        found.add(some)
        others = frozenset.intersection(*(joint[each] for each in some)) - some
        waiting += [some | wider[each] for each in others]
    return found


def narrowest(names: Iterable[bytes]) -> list[bytes]:
    """Return those of some patterns where they match all others do, too."""
    found: list[bytes] = []
    for each in names:
        if not any(_has(each, other) for other in found):
            found = [*(other for other in found if not _has(other, each)), each]
    return found


def _joint(names: Sequence[bytes]) -> list[frozenset[int]]:
    """Return which patterns can match a name that each of them matches."""
    # Most differ in how they begin or end, which is seen at once.
    ends = [(_WILD.split(name)[0], _WILD.split(name)[-1]) for name in names]
    found = []
    for name, (begin, end) in zip(names, ends, strict=True):
        likely = [
            each
            for each, (otherBegin, otherEnd) in enumerate(ends)
            if (begin.startswith(otherBegin) or otherBegin.startswith(begin))
            and (end.endswith(otherEnd) or otherEnd.endswith(end))
        ]
        found.append(frozenset(each for each in likely if meet(names[each], name)))
    return found


def _has(wide: bytes, narrow: bytes) -> bool:
    """Tell whether a pattern matches all that another one does.

    Those with more than stars in it are taken to match something else.
    """
    if b"?" in wide or b"[" in wide:
        return wide == narrow
    return Pattern(wide).matches(narrow)
