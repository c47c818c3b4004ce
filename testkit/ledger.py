"""The ledger: what clients were told, and so what a server must have; it can complain.

Clients say each command before they send it, and what they were answered; so the
ledger knows which was before which: a command that was answered before another one was
sent.  A server that was killed leaves commands unanswered.  Of those it may have done
each or not: a set, a get (whose message may be gone, or is in its old place) or a
delete.  Nothing else is left to chance:

- A STORED message is given out, unless its queue was deleted, or a get that was never
  answered took it.  How many those are, the counts tell.  They come from the front of
  their queue, so a gap in the middle is a loss.
- A message that was given out does not come again, nor does one that was deleted.
- Messages of one producer to one queue come in the order sent, whoever gets them and
  however often the server was started meanwhile.  Only a client that left before its
  answer may bring something back to its old place.
- Counts are exact: as many are set as were told so, and besides some of those without
  an answer; so for those taken.  As many messages are there as counts say wait.
- A message has the bytes and the flags that it was sent with.

A message says in every part of its body which one it is.
"""

from __future__ import annotations

from itertools import count
from threading import Lock
from typing import TYPE_CHECKING

from testkit.account import Account, Delete, Get, Name, Set

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Bytes of a body after which it repeats.  Parts of a large body are no multiple of
#: that, so parts in a wrong place are seen.
_STRIDE = 61


def makeBody(queue: bytes, name: Name, size: int) -> bytes:
    """Return the body of a message.

    :param size: its bytes; there are at least as many as name it.
    """
    block = (b"%b %d %d " % (queue, *name)).ljust(_STRIDE - 1, b".") + b"\n"
    return (block * (size // _STRIDE + 1))[: max(size, _STRIDE)]


def readBody(queue: bytes, body: bytes) -> Name | None:
    """Return which message of a queue this is; None if its bytes are not right."""
    words = body[:_STRIDE].split(b" ")
    if len(words) != 4 or not (words[1].isdigit() and words[2].isdigit()):
        return None
    name = Name(int(words[1]), int(words[2]))
    return name if makeBody(queue, name, len(body)) == body else None


class Ledger:
    """All that clients were told; safe from many threads.

    :ivar complaints: what the server did wrong, in words.
    :ivar stored: how many messages were STORED.
    :ivar given: how many were given out.
    :ivar gone: how many went with gets that were never answered.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._times = count(1)
        self._queues: dict[bytes, Account] = {}
        #: For each producer, how many messages it sent.
        self._sent: list[int] = []
        self.complaints: list[str] = []
        self.stored = 0
        self.given = 0
        self.gone = 0

    @property
    def queues(self) -> list[bytes]:
        """The names of all queues that were ever used."""
        return list(self._queues)

    def complain(self, words: str) -> None:
        """Note something that the server did wrong."""
        self.complaints.append(words)

    def producer(self) -> int:
        """Return a new producer: a connection, or several one after the other."""
        with self._lock:
            self._sent.append(0)
            return len(self._sent) - 1

    def _queue(self, name: bytes) -> Account:
        return self._queues.setdefault(name, Account())

    def set(self, queue: bytes, producer: int) -> Set:
        """Note a set before it is sent, and return it."""
        with self._lock:
            name = Name(producer, self._sent[producer])
            self._sent[producer] += 1
            message = Set(queue, name, next(self._times))
            entry = self._queue(queue)
            entry.pushed.begin()
            entry.waiting[name] = message
            return message

    def isStored(self, message: Set) -> None:
        """Note that a set was answered STORED."""
        with self._lock:
            self.stored += 1
            message.storedAt = next(self._times)
            self._queue(message.queue).pushed.happened(message.sentAt)

    def get(self, queue: bytes, before: Get | None = None) -> Get:
        """Note a get before it is sent, and return it.

        :param before: one of the same queue that the same client sends just before.
        """
        with self._lock:
            entry = self._queue(queue)
            entry.taken.begin()
            floors = before.floors if before else entry.floors.copy()
            return Get(queue, next(self._times), floors)

    def gotNothing(self, get: Get) -> None:
        """Note that a get gave no message."""
        with self._lock:
            self._queue(get.queue).taken.withdraw()

    def got(self, get: Get, flags: int, body: bytes) -> None:
        """Note that a get gave a message."""
        name = readBody(get.queue, body)
        with self._lock:
            self.given += 1
            entry = self._queue(get.queue)
            entry.taken.happened(get.sentAt)
            if name is None or flags != name.number:
                what = f"{body[:_STRIDE]!r}, {len(body)} bytes and flags {flags}"
                self.complain(f"{get.queue!r} gave {what}: not what was sent")
            elif wrong := entry.take(get, name):
                self.complain(f"{get.queue!r} gave {name}, {wrong}")

    def cut(self, get: Get) -> None:
        """Note that whoever sent a get left before its answer."""
        with self._lock:
            entry = self._queue(get.queue)
            entry.returning += 1
            entry.isCut = True

    def delete(self, queue: bytes) -> Delete:
        """Note a delete before it is sent, and return it."""
        with self._lock:
            entry = self._queue(queue)
            sure = entry.pushed.sure, entry.taken.sure
            delete = Delete(queue, next(self._times), *sure)
            entry.deletes.add(delete)
            return delete

    def isDeleted(self, delete: Delete) -> None:
        """Note that a delete was answered DELETED, or NOT_FOUND."""
        with self._lock:
            entry, now = self._queue(delete.queue), next(self._times)
            entry.deletes.remove(delete)
            entry.pushed.deleted(delete.pushed, now)
            entry.taken.deleted(delete.taken, now)
            entry.kill(delete, now)

    def check(self, counts: Mapping[bytes, tuple[int, int]]) -> None:
        """Compare what ``stats queue`` says, right after a start, when nobody asks."""
        with self._lock:
            for name in counts.keys() - self._queues.keys():
                self.complain(f"{name!r} is there, and was never set")
            for name, entry in self._queues.items():
                for wrong in entry.settle(*counts.get(name, (0, 0)), next(self._times)):
                    self.complain(f"{name!r} counts {wrong}")
                if counts.get(name) == (0, 0):
                    self.complain(f"{name!r} is there, and counts nothing")

    def waiting(self, queue: bytes) -> int:
        """Return how many messages the counts say are waiting, when nobody asks."""
        entry = self._queues[queue]
        return entry.pushed.kept - entry.taken.kept

    def emptied(self, queue: bytes) -> None:
        """Note that a queue gave all it had, since ``check``, to the only client."""
        with self._lock:
            entry = self._queues[queue]
            waiting = self.waiting(queue)
            if waiting:
                self.complain(f"{queue!r} is empty, and counts {waiting} waiting")
            lost = entry.lost()
            if len(lost) > entry.gone:
                self.complain(
                    f"{queue!r} has lost {len(lost)}, such as {lost[0]}: "
                    f"{entry.gone} were taken by gets without an answer"
                )
            for name in filter(entry.isGap, lost):
                self.complain(f"{queue!r} has lost {name} from its middle")
            self.gone += len(lost)
            entry.empty()
