"""Slices: what a command asks for, a little at a time, so that nobody waits for long.

A slice that does not do all of it puts another one, its ``rest``, to the front of the
inbox: so what the client sent behind the command runs behind that as well.  The rest
finds nothing to do when the slice before it failed, or saw the end; a turn that is
undone runs both again.
"""

from __future__ import annotations

from memq.operations.base import Operation


class Slice(Operation):
    """A part of what a command asks for.

    :ivar rest: what does what is left; None before it ran, and for the last one.
    :ivar before: the one whose rest it is; None for the first one, and once it is known
        that this one is not in vain.
    """

    # Without __slots__, so that it can be mixed with what has some.
    rest: Slice | None = None
    before: Slice | None = None

    @property
    def hasMore(self) -> bool:
        """Whether something may be left; asked after it ran."""
        raise NotImplementedError

    @property
    def isOver(self) -> bool:
        """Whether the one before it was the last."""
        return self.before is not None and not self.before.hasMore

    def divide(self, rest: Slice) -> None:
        """Let the rest run next."""
        self.rest = rest
        rest.before = self
        self.session.goOn(rest)

    def follow(self) -> Slice | None:
        """Return the rest, whose reply follows; None when there is nothing more.

        It is final then, and forgotten: its reply is made.
        """
        rest = self.rest
        if rest is None:
            return None
        self.rest = None
        if not self.hasMore:
            return None
        rest.before = None
        return rest
