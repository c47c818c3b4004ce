"""The storage interface: what the broker asks of a store.

A store is blocking and knows no Twisted.  Its calls fall into two groups, and
the caller keeps them apart:

- *transactions* (``begin`` to ``commit`` or ``abort``, and what stands between
  them) come from one thread only, one transaction at a time;
- *maintenance* (``open``, ``flush``, ``checkpoint``, ``trickle``,
  ``removeLogs``, ``tidy``, ``close``) may block for long and comes from other threads;
  it holds no locks that a transaction could wait for.

A commit makes changes visible; only ``flush`` makes them durable.  Whoever
tells a client that something is stored or taken waits for the flush that
began after its commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from zope.interface import Interface

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from memq.errors import QueueError
    from memq.message import LargeBody, Message


class QueueCount(NamedTuple):
    """What ``stats queue`` shows of a queue.

    :ivar name: the name, as it was first pushed to.
    :ivar pushed: messages ever pushed.
    :ivar taken: messages ever taken; the difference is the depth, with what is read
        openly.
    """

    name: bytes
    pushed: int
    taken: int


class Kept(NamedTuple):
    """What is kept of a queue's messages, which is what limits are about.

    :ivar items: messages: those that can be taken, are read openly, or are not due.
    :ivar bytes: of the bodies of all these.
    :ivar ready: messages that can be taken.
    :ivar readyBytes: of the bodies of these.
    """

    items: int
    bytes: int
    ready: int
    readyBytes: int


#: Of a queue that is not there.
NOTHING_KEPT = Kept(0, 0, 0, 0)


class Sums(NamedTuple):
    """What some queues have together.

    :ivar messages: that wait in them; they are told by ``stats queue`` as well.
    :ivar bytes: of the bodies of these.
    :ivar expired: messages that were too old, ever.
    :ivar discarded: messages that were discarded, ever.
    """

    messages: int
    bytes: int
    expired: int
    discarded: int


class QueueDetail(NamedTuple):
    """What ``stats detail`` shows of a queue.

    :ivar name: the name, as it was first pushed to.
    :ivar items: messages that can be taken.
    :ivar bytes: of the bodies of these, and of those with an open read.
    :ivar open: messages with an open read.
    :ivar delayed: messages that are not due yet.
    :ivar pushed: messages ever pushed, or ripe.
    :ivar taken: messages ever taken.
    :ivar closed: open reads ever closed.
    :ivar expired: messages that expired.
    :ivar discarded: messages that were discarded.
    :ivar returns: open reads ever given back.
    :ivar limit: the most messages that may wait, 0 for any number.
    :ivar paused: what is paused: 1 reads, 2 writes, 3 both.
    :ivar headTime: when the head was set, milliseconds since 1970-01-01 UTC; 0 when
        there is none, or it is damaged.
    :ivar lastUsed: seconds since 1970-01-01 UTC, in steps of a minute.
    """

    name: bytes
    items: int
    bytes: int
    open: int
    delayed: int
    pushed: int
    taken: int
    closed: int
    expired: int
    discarded: int
    returns: int
    limit: int
    paused: int
    headTime: int
    lastUsed: int


class IQueueStore(Interface):
    """Queues of messages that outlive the process."""

    def open() -> None:
        """Open the store and recover what a crash left behind.

        :raise memq.errors.StartError: when that cannot be; one line says why.
        """

    def close() -> None:
        """Make everything durable and let go of the store; no-op when closed."""

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

    def push(queue: bytes, flags: int, body: bytes, *, expires: int = 0) -> int:
        """Append a message to a queue, which is made if it does not exist.

        :param queue: the name, 1 to 250 bytes.
        :param flags: 0 to 4294967295.
        :param body: 0 bytes to PART_SIZE; a larger one comes in parts.
        :param expires: milliseconds since 1970-01-01 UTC, 0 for never; kept with the
            message, no store looks at it.
        :return: the message's sequence number.
        :raise memq.errors.StoreError: the transaction has to be aborted.
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
        :raise memq.errors.StoreError: the transaction has to be aborted.
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
        :raise memq.errors.StoreError: the transaction has to be aborted.
        """

    def pushLarge(
        queue: bytes, flags: int, large: LargeBody, *, expires: int = 0
    ) -> int:
        """Append a message whose body was added in parts.

        :return: the message's sequence number.
        :raise memq.errors.StoreError: the transaction has to be aborted.
        """

    def pushDelayed(
        queue: bytes,
        flags: int,
        body: bytes | LargeBody,
        due: int,
        *,
        expires: int = 0,
    ) -> None:
        """Keep a message unseen until ``promoteDue`` moves it into its queue.

        The queue is made if it does not exist.

        :param body: as for ``push``, or where it is, as for ``pushLarge``.
        :param due: when, milliseconds since 1970-01-01 UTC, less than 2 ** 47.
        :raise memq.errors.StoreError: the transaction has to be aborted.
        """

    def nextDue() -> int | None:
        """Return when the next delayed message is due; needs no transaction.

        It may be told too early, but not again after a ``promoteDue`` at that time.

        :return: milliseconds since 1970-01-01 UTC, None when none is delayed.
        """

    def promoteDue(now: int, limit: int) -> list[bytes]:
        """Append delayed messages that are due to their queues, in the order of that.

        They count as pushed then; their time stays that of the push.

        :param now: milliseconds since 1970-01-01 UTC.
        :param limit: how many at most, 1 or more.
        :return: the queue of each.
        :raise memq.errors.StoreError: the transaction has to be aborted.
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
        :raise memq.errors.StoreError: the transaction has to be aborted.
        """

    def popAll(queue: bytes, most: int) -> list[Message | QueueError | None]:
        """Take messages from the head of a queue, as ``pop`` does each, but faster.

        :param most: how many, if there are so many; 1 or more.
        :return: what ``pop`` returns for each, but no None; the caller may keep it.
        :raise memq.errors.StoreError: the transaction has to be aborted.
        """

    def peek(queue: bytes) -> Message | QueueError | None:
        """Return the message at the head of a queue and leave it there.

        :return: as for ``pop``, but nothing is set aside.
        :raise memq.errors.StoreError: the transaction has to be aborted.
        """

    def putBack(queue: bytes, message: Message) -> bool:
        """Return a message that was popped to its old place.

        :return: False when the queue was deleted meanwhile; the message then
            shares the fate of the others.
        :raise memq.errors.StoreError: the transaction has to be aborted.
        """

    def openRead(queue: bytes) -> Message | QueueError | None:
        """Hide the message at the head of a queue from everyone else, and return it.

        That is in memory only: it stays where it is, and is there for all again after
        the end of the process.  It still counts as not taken.

        :return: as for ``pop``; a head that was damaged is set aside and not hidden.  A
            body in parts is readable, until the queue is deleted or emptied.
        :raise memq.errors.StoreError: the transaction has to be aborted.
        """

    def closeRead(queue: bytes, message: Message) -> bool:
        """Take a message for good that is read openly.

        What is said of the body in parts of one that was popped holds then.

        :param message: what was returned, perhaps without its body.
        :return: False when it is not hidden, or when the queue was deleted or emptied
            meanwhile; the message then shares the fate of the others, and there is
            nothing to release.
        :raise memq.errors.StoreError: the transaction has to be aborted.
        """

    def abortRead(queue: bytes, message: Message, count: bool) -> bool:
        """Return a message that is read openly to its old place, for all to be seen.

        :param message: as for ``closeRead``.
        :param count: whether ``deliveries`` goes up by one, durably.
        :return: as for ``closeRead``.
        :raise memq.errors.StoreError: the transaction has to be aborted.
        """

    def popRead(queue: bytes, message: Message) -> Message | QueueError | None:
        """Take a message that is read openly as ``pop`` takes a head.

        That is the last time that it is given back, and counts as such.

        :param message: as for ``closeRead``.
        :return: the message, whole, or an error when it was damaged and is set aside;
            None where ``closeRead`` returns False.
        :raise memq.errors.StoreError: the transaction has to be aborted.
        """

    def deliveries(message: Message) -> int:
        """Return how often a message in a queue was given back and that was counted.

        Needs no transaction.  Once it is taken, that is forgotten, even if ``putBack``
        follows.
        """

    def discard(message: Message) -> None:
        """Let a body in parts go with the commit, of a message popped since ``begin``.

        Until then, ``pushLarge`` may give it to another message instead.
        """

    def setAside(message: Message) -> None:
        """Keep a message in no queue that was popped or closed, with a damaged part.

        :raise memq.errors.StoreError: the transaction has to be aborted.
        """

    def delete(queue: bytes) -> bool:
        """Delete a queue with all its messages, at once however long it is.

        The room is given back later, by ``sweep``.

        :return: whether there was such a queue.
        :raise memq.errors.StoreError: the transaction has to be aborted.
        """

    def empty(queue: bytes) -> int:
        """Discard all messages of a queue, at once; they count as taken.

        Those that are delayed are discarded as well, and were never pushed.  What was
        taken before cannot be put back any more, nor can what is read openly.

        :return: how many there were.
        :raise memq.errors.StoreError: the transaction has to be aborted.
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

    def idleSince(queue: bytes) -> int | None:
        """Return when an empty queue was used last, None if it is not empty.

        :return: seconds since 1970-01-01 UTC, up to a minute early; None as well when
            there is no such queue.
        """

    def names() -> list[bytes]:
        """Return the names of all queues, in any order."""

    def kept(queue: bytes) -> Kept:
        """Return what is kept of a queue's messages; it takes no time."""

    def hasSettings() -> bool:
        """Return whether any queue has a limit, or is paused."""

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

        :param limit: the most messages and parts that are touched, 1 or more.
        :return: whether there is more to do.
        :raise memq.errors.StoreError: when nothing was done.
        """

    def counts() -> Iterable[QueueCount]:
        """Return every queue's counts, sorted by name."""

    def details(
        wanted: Callable[[bytes], bool] | None = None,
    ) -> Iterable[QueueDetail]:
        """Yield every queue's details, sorted by name; looks at each one's head.

        :param wanted: tells by its name whether a queue is, all are if it is None.
        :raise memq.errors.StoreError: when one cannot be read.
        """

    def detail(queue: bytes) -> QueueDetail | None:
        """Return a queue's details; looks at its head.

        :return: None when there is no such queue.
        :raise memq.errors.StoreError: when it cannot be read.
        """

    def status() -> dict[str, int]:
        """Return queues, messages, and the store's own figures; looks at each queue."""

    def figures() -> dict[str, int]:
        """Return the same but the messages; it takes no time."""

    def sums(queues: Iterable[bytes]) -> Sums:
        """Return what some queues have together, of those that there are."""

    def flush() -> None:
        """Make durable whatever was committed before this call.

        :raise memq.errors.StoreFailed: nobody may be told that it is stored.
        """

    def checkHome() -> OSError | None:
        """See that the store is where the next start will look for it.

        :return: why that cannot be told just now; None when all is well.
        :raise memq.errors.StoreFailed: when it is not: nobody may be told any more
            that something is stored.
        """

    def checkpoint() -> None:
        """Bound the time that a recovery takes.

        :raise memq.errors.StoreError: when it failed.
        """

    def trickle(percent: int) -> int:
        """Write changed pages ahead of need.

        :param percent: how much of the cache is to be clean, 1 to 100.
        :return: pages written.
        :raise memq.errors.StoreError: when it failed.
        """

    def removeLogs() -> int:
        """Remove log files that no recovery will need.

        :return: files removed.
        :raise memq.errors.StoreError: when it failed.
        """

    def tidy() -> int:
        """Give room back; called about once a second.

        What takes long is done here, what has to be a transaction by ``sweep``.

        :return: bytes given back.
        :raise memq.errors.StoreError: when it failed; a later call tries again.
        """

    def logged() -> int:
        """Return the bytes of log written since the last checkpoint.

        :raise memq.errors.StoreError: when it failed.
        """

    def bytesOnDisk() -> int:
        """Return the bytes of disk that the store occupies; 0 in memory."""

    def reserveSpace() -> bool:
        """Take from the disk, ahead of need, the blocks that are about to be written.

        :return: whether there were as many.
        :raise memq.errors.StoreError: when the disk fails.
        """

    def freeBytes() -> int | None:
        """Return the bytes free for the store, None where nothing bounds it."""
