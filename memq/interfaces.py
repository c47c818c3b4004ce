"""The storage interface: what the broker asks of a store.

A store is blocking and knows no Twisted.  Its calls fall into two groups, and
the caller keeps them apart:

- *transactions* (:class:`IQueueStore`) come from one thread only, one at a time;
- *maintenance* (:mod:`memq.storage.maintenance`) may block for long and comes from
  other threads; it holds no locks that a transaction could wait for.

A commit makes changes visible; only ``flush`` makes them durable.  A caller
that tells a client that something is stored or taken waits for the flush that
began after its commit.

Times are milliseconds since 1970-01-01 UTC unless it says seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Interface

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from memq.errors import QueueError
    from memq.figures import Columns, Heads, Kept, Outcome, QueueCount, Sums, Totals
    from memq.message import LargeBody, Message, Trace


class IQueueStore(Interface):
    """Queues of messages that outlive the process.

    Whatever needs a transaction raises memq.errors.StoreError when that has to be
    aborted.
    """

    def begin() -> None:
        """Begin a transaction: all that follows is kept or undone as one."""

    def commit() -> None:
        """Keep what was done since ``begin``; visible now, durable at ``flush``.

        :raise memq.errors.StoreError: when it was undone instead.
        """

    def abort() -> None:
        """Undo everything since ``begin``, the counts in memory as well.

        A no-op when no transaction is under way, as after a commit that failed.

        :raise memq.errors.StoreFailed: when it cannot be undone.
        """

    def push(
        queue: bytes,
        flags: int,
        body: bytes,
        *,
        expires: int = 0,
        trace: Trace | None = None,
    ) -> int:
        """Append a message to a queue, which is made if it does not exist.

        :param queue: the name, 1 to 250 bytes.
        :param flags: 0 to 4294967295.
        :param body: 0 bytes to PART_SIZE; a larger one comes in parts.
        :param expires: when, 0 for never; kept with the message, no store looks at it.
        :param trace: what became of it before; kept with the message.
        :return: the message's sequence number.
        """

    def pushAll(
        queue: bytes,
        messages: list[tuple[int, bytes]],
        size: int | None = None,
        expires: int = 0,
    ) -> int:
        """Append messages to a queue, as ``push`` does each, but faster.

        :param messages: flags and body of each, one or more.
        :param size: bytes of all bodies, if that is known.
        :param expires: when all of them expire.
        :return: the first one's sequence number; those of the others follow.
        """

    def newBody() -> int:
        """Return an id for a body that will come in parts; needs no transaction."""

    def addPart(body: int, number: int, data: bytes) -> None:
        """Keep a part of a body that no message has yet.

        Whatever becomes of it: unless ``pushLarge`` follows, or ``release``, the
        next start of the store removes it.

        :param body: an id from ``newBody``.
        :param number: which part, from 0, without gaps.
        :param data: 1 to PART_SIZE bytes.
        """

    def pushLarge(
        queue: bytes,
        flags: int,
        large: LargeBody,
        *,
        expires: int = 0,
        trace: Trace | None = None,
    ) -> int:
        """Append a message whose body was added in parts; return its number."""

    def pushDelayed(
        queue: bytes,
        flags: int,
        body: bytes | LargeBody,
        due: int,
        *,
        expires: int = 0,
        trace: Trace | None = None,
        time: int = 0,
    ) -> None:
        """Keep a message unseen until ``promoteDue`` moves it into its queue.

        The queue is made if it does not exist.

        :param body: as for ``push``, or where it is, as for ``pushLarge``.
        :param due: when, less than 2 ** 47.
        :param time: when it was set; 0 for now.
        """

    def nextDue() -> int | None:
        """Return when the next delayed message is due, None when none is delayed.

        It may be told too early, but not again after a ``promoteDue`` at that time.
        Needs no transaction.
        """

    def promoteDue(now: int, limit: int) -> list[bytes]:
        """Append delayed messages that are due to their queues, in the order of that.

        They count as pushed then; their time stays that of the push, and their trace.

        :param limit: how many at most, 1 or more.
        :return: the queue of each.
        """

    def part(body: int, number: int) -> bytes:
        """Return a part of a body; needs no transaction.

        :raise memq.errors.DamagedMessage: when it is not what was once added.
        :raise memq.errors.StoreError: when it cannot be read.
        """

    def release(body: int) -> None:
        """Let ``sweep`` remove the parts of a body that no message has.

        It is either that of a message that was popped, or never was a message's.
        Needs no transaction; to do it twice is to do it once.
        """

    def pop(queue: bytes) -> Message | QueueError | None:
        """Take the message at the head of a queue.

        A body in parts stays readable until ``release``, or the end of the process.

        :return: the message; None when the queue is empty or does not exist;
            an error when the head was damaged.  A damaged record is set aside
            in the same transaction, so that the next pop goes on behind it.
        """

    def popAll(queue: bytes, most: int) -> list[Message | QueueError | None]:
        """Take messages from the head of a queue, as ``pop`` does each, but faster.

        :param most: how many, if there are so many; 1 or more.
        :return: what ``pop`` returns for each, but no None; the caller may keep it.
        """

    def peek(queue: bytes) -> Message | QueueError | None:
        """Return what ``pop`` would, and leave it there, even if it is damaged."""

    def peekMany(
        queue: bytes, first: int, most: int, limit: int
    ) -> tuple[list[Message | QueueError], int | None]:
        """Return messages that can be taken, in order, and an error for a damaged one.

        :param first: the number from which on they are looked for.
        :param most: how many at most, 1 or more.
        :param limit: about how many bytes of records are looked at, each of which
            counts for 1 KiB more.
        :return: also the number from which on to go on; None if there are no more.
        """

    def putBack(queue: bytes, message: Message) -> bool:
        """Return a message that was popped to its old place.

        :return: False when the queue was deleted meanwhile; the message then
            shares the fate of the others.
        """

    def openRead(queue: bytes) -> Message | QueueError | None:
        """Hide the message at the head of a queue from everyone else, and return it.

        That is in memory only: it stays where it is, and is there for all again after
        the end of the process.  It still counts as not taken.

        :return: as for ``pop``; a head that was damaged is set aside and not hidden.  A
            body in parts is readable, until the queue is deleted or emptied.
        """

    def openAll(queue: bytes, most: int, size: int) -> list[Message | QueueError]:
        """Hide messages from the head of a queue on, as ``openRead`` does, but faster.

        :param size: bytes of bodies at which it ends, with that message.
        :return: what ``openRead`` returns for each.  It ends with an error, or a body
            in parts; where it ends before all of that, there may be more.
        """

    def closeRead(queue: bytes, message: Message) -> bool:
        """Take a message for good that is read openly.

        A body in parts then stays readable as after ``pop``.

        :param message: what was returned, perhaps without its body.
        :return: False when it is not hidden, or when the queue was deleted or emptied
            meanwhile; the message then shares the fate of the others, and there is
            nothing to release.
        """

    def closeAll(queue: bytes, messages: Sequence[Message]) -> list[Message]:
        """Take messages for good that are read openly, as ``closeRead`` does each.

        :return: those of them for which that returns True.
        """

    def abortRead(queue: bytes, message: Message, count: bool) -> bool:
        """Return a message that is read openly to its old place, for all to be seen.

        :param count: whether ``deliveries`` goes up by one, durably.
        :return: as for ``closeRead``.
        """

    def popRead(queue: bytes, message: Message) -> Message | QueueError | None:
        """Take a message that is read openly as ``pop`` takes a head.

        That is the last time that it is given back, and counts as such.

        :return: the message, whole, or an error when it was damaged and is set aside;
            None where ``closeRead`` returns False.
        """

    def isRead(queue: bytes, message: Message) -> bool:
        """Return whether a message is read openly, and ``closeRead`` would find it.

        Needs no transaction.
        """

    def deliveries(message: Message) -> int:
        """Return how often a message in a queue was given back and that was counted.

        What its trace says of this queue is added.  Needs no transaction.  Once it is
        taken, the rest is forgotten, even if ``putBack`` follows.
        """

    def discard(message: Message) -> None:
        """Let a body in parts go with the commit, of a message popped since ``begin``.

        Until then, ``pushLarge`` may give it to another message instead.
        """

    def setAside(message: Message) -> None:
        """Keep a message in no queue that was popped or closed, with a damaged part."""

    def nextNumber(queue: bytes) -> int:
        """Return the number that the next message of a queue gets.

        It is 0 if there is no such queue; needs no transaction.
        """

    def deadLetters(
        queue: bytes, first: int, end: int, limit: int
    ) -> tuple[list[Message], int]:
        """Return messages of a queue that have an origin, in their order.

        Those that are open or damaged are left out.

        :param first: the number from which on they are looked for.
        :param end: the number before which that ends.
        :param limit: about how many bytes of records are looked at, each of which
            counts for 1 KiB more.
        :return: also the number from which on to go on; ``end`` if there are no more.
        """

    def takeOut(queue: bytes, message: Message) -> None:
        """Take a message, wherever it stands, that ``deadLetters`` has returned.

        A body in parts then stays readable as after ``pop``.  Nothing else has changed
        the queue since, in the same transaction.
        """

    def delete(queue: bytes) -> bool:
        """Delete a queue with all its messages, at once however long it is.

        The room is given back later, by ``sweep``.

        :return: whether there was such a queue.
        """

    def empty(queue: bytes) -> int:
        """Discard all messages of a queue, at once; they count as taken.

        Those that are delayed are discarded as well, and were never pushed.  Messages
        taken before cannot be put back any more, nor can those that are read openly.

        :return: how many there were.
        """

    def setLimit(queue: bytes, limit: int) -> bool:
        """Make a queue with a limit, which the store keeps but does not look at.

        :param limit: the most messages that may wait, 0 for any number.
        :return: False when there is such a queue; nothing is changed then.
        """

    def setPaused(queue: bytes, bits: int) -> bool:
        """Keep what of a queue is paused, which the store does not look at.

        :param bits: 1 for reads, 2 for writes, 3 for both, 0 for nothing; a queue that
            does not exist is made unless it is 0.
        :return: whether there is such a queue now.
        """

    def settings(queue: bytes) -> tuple[int, int]:
        """Return limit and paused bits of a queue, 0 and 0 if there is none."""

    def hasSettings() -> bool:
        """Return whether any queue has a limit, or is paused."""

    def idleSince(queue: bytes) -> int | None:
        """Return when an empty queue was used last, in seconds, up to a minute early.

        None when it is not empty, or there is none.
        """

    def names() -> list[bytes]:
        """Return the names of all queues, in any order."""

    def counts() -> Iterable[QueueCount]:
        """Return every queue's counts, sorted by name."""

    def kept(queue: bytes) -> Kept:
        """Return what is kept of a queue's messages; it takes no time."""

    def sums(queues: Iterable[bytes]) -> Sums:
        """Return what some queues have together, of those that there are."""

    def details(queues: Iterable[bytes], heads: Heads = ...) -> Columns:
        """Return the details of some queues, of those that there are."""

    def gone() -> Totals:
        """Return the counts of queues that were deleted, less those at ``open``."""

    def countOutcome(outcome: Outcome, number: int = 1) -> None:
        """Count what became of messages, since ``open``, inside a transaction."""

    def outcomes() -> Mapping[Outcome, int]:
        """Return how many each of these there were; needs no transaction."""

    def countExpired(queue: bytes, number: int) -> None:
        """Count messages of a queue that expired, if there is such a queue."""

    def countDiscarded(queue: bytes, number: int) -> None:
        """Count messages of a queue that were discarded, if there is such a queue."""

    def hasGarbage() -> bool:
        """Return whether there is anything for ``sweep`` to do.

        That is messages of deleted queues and parts of released bodies; those of a
        queue whose deletion is not committed yet do not count.  And it is what a
        store rearranges to give room back; ``tidy`` begins that.
        """

    def sweep(limit: int) -> bool:
        """Do some of that, in a transaction of its own; clients see no difference.

        :param limit: the most records that are touched, 1 or more.
        :return: whether there is more to do.
        :raise memq.errors.StoreError: when nothing was done.
        """

    def status() -> dict[str, int]:
        """Return queues, messages, and the store's own figures; looks at each queue."""

    def figures() -> dict[str, int]:
        """Return the same but the messages; it takes no time."""

    def logged() -> int:
        """Return the bytes of log written since the last checkpoint."""
