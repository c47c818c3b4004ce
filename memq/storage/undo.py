"""The undo log: how memory follows a transaction that is undone, or committed.

Whatever a transaction changes in memory is changed by an object that writes here, at
once, how that one change is undone.  An abort plays the log back, the last entry first.
A call that must not happen before the commit is written here as well, and done by it.

Invariant: when an entry is played, all that was changed after it is as it was when the
entry was written.  So an entry puts back what it has seen itself and nothing else, and
the objects need not know of each other, nor in which order they are undone.

Only what can be undone by itself needs no entry: ids that are never reused, and numbers
that only bound what is looked for from below.
"""

from __future__ import annotations

from typing import Any


class UndoLog:
    """The changes in memory of the transaction under way.

    An entry is a tuple of a function and its arguments.

    :ivar add: writes what undoes a change that was just made.
    :ivar afterCommit: writes what is done once the transaction is committed.
    """

    __slots__ = ("_later", "_undo", "add", "afterCommit")

    def __init__(self) -> None:
        self._undo: list[tuple[Any, ...]] = []
        self._later: list[tuple[Any, ...]] = []
        # Bound here, and given tuples: partials, and one call more a commit, were 650
        # instructions of 160,700 that a lone set takes.
        self.add = self._undo.append
        self.afterCommit = self._later.append

    def commit(self) -> int:
        """Forget the changes, and do what waited for this, the first one first.

        :return: how many changes there were.
        """
        count = len(self._undo)
        self._undo.clear()
        if self._later:
            later = self._later.copy()
            self._later.clear()
            for work, *arguments in later:
                work(*arguments)
        return count

    def rollBack(self) -> None:
        """Undo all changes, the last one first; a no-op when there are none."""
        self._later.clear()
        while self._undo:
            undo, *arguments = self._undo.pop()
            undo(*arguments)
