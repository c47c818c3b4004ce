"""Turns: transactions in which sessions' operations run together.

- A turn is bounded in messages and bytes, and so is each session's share of it, so that
  nobody waits long behind somebody else's pipeline.  A session that wanted more than
  its share stands behind those that come anew, and every second place in a turn is of
  those behind: among a thousand that want much, one that wants little waits for few.
- When little is left of the budget, sessions are left out earlier, and messages are
  taken singly.
- An operation that fails must not take others with it: the turn is undone, and its
  operations run again one by one, each in a transaction of its own.  So does a turn
  that met a lock error.

Invariant: ``run`` of an operation can be repeated after its ``undo``.  When it raises
WouldBlock, only expiry has changed anything, which the turn commits.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from twisted.logger import Logger

from memq.broker.session import sessionOf
from memq.errors import OutOfSpace, QueueError, StoreFailed
from memq.operations.reads import WouldBlock

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.broker.diskspace import DiskSpaceGuard
    from memq.broker.memorybudget import Budget
    from memq.broker.rotation import Rotation
    from memq.broker.session import Session
    from memq.interfaces import IQueueStore
    from memq.operations.base import Operation
    from memq.operations.reads import Search

#: The cost of a turn at most, about 10 ms of work: a message counts as its body and
#: MESSAGE_COST, so that is 1000 messages, or 1 MiB.
TURN_COST = 1024 * 1024
#: A session's share of a turn, at least.
SHARE = 64 * 1024

_log = Logger()


def asQueueError(error: Exception) -> QueueError:
    """Return the error that a client is told; called while it is handled."""
    if isinstance(error, QueueError):
        return error
    _log.failure("An operation failed in a way that nobody foresaw")
    return QueueError()


def undo(operations: list[Operation]) -> None:
    """Make operations as they were before they ran, the last one first."""
    for operation in reversed(operations):
        operation.undo()


class Turns:
    """Run what waits in the rotation.

    :ivar number: how many turns there were.
    """

    def __init__(
        self,
        store: IQueueStore,
        rotation: Rotation,
        room: DiskSpaceGuard,
        budget: Budget,
        fail: Callable[[StoreFailed], None],
    ) -> None:
        """Begin with none.

        :param room: is told what each turn stores and frees.
        :param fail: called when the store has failed for good.
        """
        self._store = store
        self._rotation = rotation
        self._room = room
        self._budget = budget
        self._fail = fail
        self.number = 0

    def run(self) -> tuple[list[Operation], bool]:
        """Run a turn; return what is done, and whether that changed anything."""
        store, rotation = self._store, self._rotation
        self.number += 1
        operations: list[Operation] = []
        try:
            store.begin()
            left = self._room.left(TURN_COST)
            logged = rotation.run(store, operations, left, SHARE, self._budget.window)
            store.commit()
            changed = logged > 0
            if changed:
                bytesFreed = 0
                for each in operations:
                    bytesFreed += each.bytesFreed
                for each in rotation.blocked:
                    bytesFreed += each.bytesFreed
                self._room.changed(bytesFreed, logged)
        except Exception as error:
            operations += rotation.takeBlocked()
            changed = self._runAgain(operations, error)
        blocked = rotation.blocked
        if blocked:
            rotation.wait()
        if rotation.awaited:
            rotation.wakeFor(operations, blocked)
        return operations, changed

    def _runAgain(self, operations: list[Operation], error: Exception) -> bool:
        """Undo a turn, and run its operations one by one."""
        self._rotation.undo(operations)
        if not operations:
            # Not even the transaction began; nobody is to wait for that.
            operations += self._rotation.clear()
        # Whatever it was, it may concern one operation only.
        if isinstance(error, OutOfSpace):
            self._room.exhausted()
        else:
            _log.warn(
                "A turn of {count} is undone and run again one by one: {error}",
                count=sum(operation.count for operation in operations),
                error=error,
            )
        try:
            self._store.abort()
            undo(operations)
            return self._runApart(operations)
        except StoreFailed as failed:
            self._rotation.takeBlocked()
            undo(operations)
            for operation in operations:
                operation.fail(failed)
            self._fail(failed)
            return False

    def _runApart(self, operations: list[Operation]) -> bool:
        """Run operations, each in its own transaction; some will fail.

        :param operations: only those stay that are done.
        """
        changed = False
        #: By session, what does not run because the read before it waits.
        behind: dict[Session, list[Operation]] = {}
        for operation in operations:
            session = sessionOf(operation)
            if session in behind:
                behind[session].append(operation)
                continue
            for part in operation.split():
                changed |= self._runAlone(part)
            if self._rotation.blocked and self._rotation.blocked[-1] is operation:
                behind[session] = [operation]
        for session, (_, *rest) in behind.items():
            session.inbox.extendleft(reversed(rest))
        waits = set(chain.from_iterable(behind.values()))
        operations[:] = [each for each in operations if each not in waits]
        return changed

    def _runAlone(self, operation: Operation) -> bool:
        """Run an operation in a transaction; return whether it changed anything."""
        store = self._store
        waits: list[Search] = []
        try:
            store.begin()
            try:
                cost = operation.run(store)
            except WouldBlock as nothing:
                cost, waits = nothing.cost, [nothing.read]
            store.commit()
            self._room.changed(operation.bytesFreed, cost)
        except StoreFailed:
            operation.undo()
            raise
        except Exception as error:
            if isinstance(error, OutOfSpace):
                self._room.exhausted()
            store.abort()
            operation.undo()
            operation.fail(asQueueError(error))
            return False
        for read in waits:
            self._rotation.keep(read)
        return bool(cost)
