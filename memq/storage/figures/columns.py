"""Columns: the figures of many queues, in a third of the time that rows take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.figures import Columns
from memq.message import Message
from memq.storage.row import NO_REST, UNSEEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from memq.errors import QueueError
    from memq.figures import Heads
    from memq.storage.row import Queue

    Peek = Callable[[bytes], Message | QueueError | None]

#: In so many parts are the queues whose heads are looked at one part after the other.
PARTS = 32


def inColumns(queues: Iterable[Queue | None], peek: Peek, heads: Heads) -> Columns:
    """Return the details of queues, and look at each head that may be another one.

    :param queues: None for one that there is not.
    :param peek: returns the head of a queue.
    """
    seen, rows = _rows(queues, peek, heads)
    if not rows:
        return Columns.of((), seen)
    *columns, rests = zip(*rows, strict=True)
    names, items, size, opened, pushed, taken, closed, times, used = columns
    if rests.count(NO_REST) == len(rests):
        rest: Iterable[Sequence[int]] = [(0,) * len(rests)] * len(NO_REST)
    else:
        rest = zip(*rests, strict=True)
    expired, discarded, returns, _, delayed, limits, paused, _ = rest
    return Columns(
        seen,
        [
            *(names, items, size, opened, delayed, pushed, taken, closed, expired),
            *(discarded, returns, limits, paused, times, used),
        ],
    )


def _rows(
    queues: Iterable[Queue | None], peek: Peek, heads: Heads
) -> tuple[int, list[tuple[Any, ...]]]:
    """Return how many queues were seen, and what there is of each."""
    now, late, left, since = heads
    gone = 0
    rows = []
    # In one loop and without calls: there may be 100,000 queues.
    for queue in queues:
        if queue is None:
            gone += 1
            continue
        pushed, taken, reads = queue.pushed, queue.taken, queue.reads
        opened, items = 0, pushed - taken
        if reads is not None:
            opened = len(reads.hidden)
            items -= opened
        if items > 0:
            time = queue.headTime
            if (
                queue.headTaken != taken
                or queue.headSeen != queue.head
                or reads is not None
            ):
                if since and queue.end <= taken and reads is None:
                    # All that was there is gone, or nobody saw the queue: this one came
                    # since.
                    queue.headTime = time = since
                    queue.headTaken = UNSEEN
                    queue.headAt = now + late * (queue.id % PARTS) / PARTS
                elif not late or now - queue.headAt >= late:
                    if not left:
                        break
                    left -= 1
                    time = _look(queue, peek)
                    queue.headAt = now - late * (queue.id % PARTS) / PARTS / 2
        else:
            time = 0
        if queue.end != pushed:
            queue.end = pushed
        rows.append(
            (
                queue.name,
                items,
                queue.bytes,
                opened,
                pushed,
                taken,
                queue.closed,
                time,
                queue.lastUsed,
                queue.rest,
            )
        )
    return gone + len(rows), rows


def _look(queue: Queue, peek: Peek) -> int:
    """Return the time of the head of a queue, and note it."""
    head = peek(queue.name)
    # To look may have found the head further on.
    queue.headSeen, queue.headTaken = queue.head, queue.taken
    queue.headTime = time = head.time if isinstance(head, Message) else 0
    return time
