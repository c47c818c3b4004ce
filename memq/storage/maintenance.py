"""The maintenance of a store: calls that may block for long, from other threads.

It holds no locks that a transaction could wait for.
"""

from __future__ import annotations

from memq.interfaces import IQueueStore


class IMaintainedStore(IQueueStore):
    """A store that is opened, kept up, and closed.

    A call that fails raises memq.errors.StoreError; a later call tries again.
    """

    def open() -> None:
        """Open the store and recover what a crash left behind.

        :raise memq.errors.StartError: when that cannot be; one line says why.
        """

    def close() -> None:
        """Make everything durable and let go of the store; no-op when closed."""

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
        """Bound the time that a recovery takes."""

    def trickle(percent: int) -> int:
        """Write changed pages ahead of need; return how many.

        :param percent: how much of the cache is to be clean, 1 to 100.
        """

    def removeLogs() -> int:
        """Remove log files that no recovery will need; return how many."""

    def tidy() -> int:
        """Give room back; called about once a second.

        Long work is done here, work that has to be a transaction by ``sweep``.

        :return: bytes given back.
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
