"""The rights of a user: bits for each queue, by patterns, and bits for the server.

``rights[queue]`` are the bits that a user has for a queue.  The first time patterns are
tried; then it is one look-up in a dictionary.  Rights do not change: a user who gets
others gets another object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.policy.patterns import matcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Rights for a queue: to set, to take, to change it otherwise, to see its figures.
WRITE, READ, MANAGE, SEE = 1, 2, 4, 8
#: All of them.
EVERYTHING = WRITE | READ | MANAGE | SEE

#: Rights for the server: to see its figures, to do anything with it.
MONITOR, ADMIN = 1, 2
#: What users can be, with their rights for the server.
ROLES = {"admin": MONITOR | ADMIN, "monitor": MONITOR}

#: Queues whose bits are kept at hand, for each user: 1.5 MB with usual names.
KNOWN = 16_384


class Rights(dict[bytes, int]):
    """Rights of a user.  Invariant: whoever has a right for a queue may see it.

    :ivar server: bits of MONITOR and ADMIN.
    :ivar patterns: of the queues that somebody may write to, read, and manage.
    """

    __slots__ = ("_everywhere", "_given", "patterns", "server")

    def __init__(
        self,
        write: Iterable[bytes] = (),
        read: Iterable[bytes] = (),
        manage: Iterable[bytes] = (),
        server: int = 0,
    ) -> None:
        """Take patterns of queues for each right, and the bits for the server."""
        super().__init__()
        self.server = server
        self._everywhere = SEE if server & MONITOR else 0
        if server & ADMIN:
            self._everywhere = EVERYTHING
        self.patterns = tuple(write), tuple(read), tuple(manage)
        given = zip((WRITE, READ, MANAGE), self.patterns, strict=True)
        matchers = [(right | SEE, matcher(patterns)) for right, patterns in given]
        #: Each right that is given, with what tells of which queues.
        self._given = [(right, match) for right, match in matchers if match is not None]

    @property
    def seesAll(self) -> bool:
        """Whether there is no queue that it does not see."""
        return bool(self._everywhere & SEE)

    def seen(self, queues: Iterable[bytes]) -> list[bytes]:
        """Return those of some queues that it sees."""
        return [queue for queue in queues if self[queue]]

    @property
    def sight(self) -> Callable[[bytes], object] | None:
        """What tells whether a queue may be seen; None if any may.

        For very many queues, one after the other, of which nothing is to be kept: 0.1
        to 0.5 us for one, where ``self[queue]`` of a queue not at hand takes 2.
        """
        if self.seesAll:
            return None
        every = {each for some in self.patterns for each in some}
        return matcher(sorted(every)) or (lambda queue: False)

    def __missing__(self, queue: bytes) -> int:
        """Return the bits for a queue, and keep them at hand."""
        bits = self._everywhere
        if bits != EVERYTHING:
            for right, matches in self._given:
                if matches(queue):
                    bits |= right
        # A client may name any number of queues.
        if len(self) >= KNOWN:
            self.clear()
        self[queue] = bits
        return bits
