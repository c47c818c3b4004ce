"""Import of an export into a home.

A queue that the home does not have, or has empty, is filled unseen, and shown when its
last line was read and its counts fit: a cut or damaged file, or a kill, leaves whole
queues and nothing of the others (:mod:`memq.storage.bdb.bulkloader`).  A queue that has
messages is refused, unless it is to be appended to; then messages become visible in
batches.  Each batch is on the disk before more is read.
"""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from memq.admin.exportformat import BadExport
from memq.admin.reading import ImportRefused as ImportRefused
from memq.admin.reading import Reading
from memq.display import shownName
from memq.message import PART_SIZE
from memq.storage.bdb.bulkloader import BulkLoader, Item
from memq.storage.datadir.sizing import CHECKPOINT_VOLUME

if TYPE_CHECKING:
    from memq.admin.exportformat import Body, QueueBegin
    from memq.ratelimit import Progress
    from memq.storage.bdb.store import BDBStore
    from memq.storage.row import Queue

#: The most of a batch, but for its last message.
BATCH_MESSAGES = 1000
BATCH_BYTES = 1024 * 1024


class Import(Reading):
    """Reads an export into a store, and counts whole queues and visible messages."""

    def __init__(
        self,
        store: BDBStore,
        append: bool,
        progress: Progress,
        volume: int = CHECKPOINT_VOLUME,
    ) -> None:
        """Begin.

        :param store: open; nobody else uses it.
        :param append: whether queues that have messages are appended to.
        :param volume: bytes of log after which there is a checkpoint.
        """
        super().__init__()
        self._store = store
        self._loader = BulkLoader(store)
        self._append = append
        self._progress = progress
        self._volume = volume
        self.messages = 0
        #: The queue that is being read, if nobody sees it.
        self._unseen: Queue | None = None
        self._batch: list[Item] = []
        self._batchBytes = 0

    @property
    def figures(self) -> str:
        """The figures of what was imported so far, for a person."""
        return f"{self.queues} queues, {self.messages} messages"

    def _begin(self, line: QueueBegin) -> None:
        there = self._loader.find(line.queue)
        isEmpty = there is None or not (there.pushed - there.taken + there.rest.delayed)
        if not isEmpty and not self._append:
            raise BadExport(
                f"queue {shownName(line.queue)} is there and has messages; "
                "with --append these are appended"
            )
        self._unseen = self._loader.newQueue(line.queue) if isEmpty else None

    def _add(self, queue: QueueBegin, line: Body) -> None:
        now = int(time() * 1000) if line.time is None else line.time
        body = line.body
        large = self._loader.addBody(body) if len(body) > PART_SIZE else body
        self._batch.append(Item(line.flags, now, large, *line[3:]))
        self._batchBytes += len(body)
        if len(self._batch) >= BATCH_MESSAGES or self._batchBytes >= BATCH_BYTES:
            self._writeBatch(queue)

    def _writeBatch(self, queue: QueueBegin) -> None:
        if self._unseen is not None:
            self._loader.fill(self._unseen, self._batch)
        else:
            self._loader.extend(queue.queue, self._batch)
        self._store.flush()
        if self._unseen is None:
            self.messages += len(self._batch)
        self._batch.clear()
        self._batchBytes = 0
        if self._store.logged() >= self._volume:
            self._store.checkpoint()
            self._store.removeLogs()
        self._progress.reach(lambda: f"{self.figures}, {self._count} of the next")

    def _end(self, queue: QueueBegin) -> None:
        self._writeBatch(queue)
        if self._unseen is not None:
            self._show(self._unseen, queue)
            self.messages += self._count + self._delayed
        self._unseen = None

    def _show(self, queue: Queue, begin: QueueBegin) -> None:
        there = self._loader.find(begin.queue)
        if there is None:
            # Damaged messages count as taken.
            taken = begin.pushed - self._count
            self._loader.publish(queue, begin.pushed, taken, begin.limit, begin.paused)
        else:
            self._loader.publish(queue, there.pushed + self._count, there.taken)
        self._store.flush()
