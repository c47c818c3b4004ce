"""Sweeper: background enforcement of policies, where no client asks for it.

Messages that expire do so when their turn comes; in a queue that nobody reads it never
does.  So once a second there is a *round*: some queues are looked at, each in its turn,
and what has expired at their heads is let go.  A queue that is empty and was used by
nobody for as long as its rule says is removed.

A round looks at a bounded number of queues, so that many queues in which nothing
happens cost next to nothing; where it finds much to do, it goes on in the next turn of
the broker, of which it is one of the clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from memq.display import shownName
from memq.errors import QueueError, StoreFailed
from memq.operations.base import MESSAGE_COST, Operation
from memq.operations.expiry import LOOK_COST, expire, mayExpire
from memq.storage.row import USED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from twisted.internet.interfaces import IDelayedCall

    from memq.broker.background.returns import After, Connect
    from memq.broker.session import Session
    from memq.interfaces import IQueueStore
    from memq.policy.rule import Rule

#: Seconds between two rounds.
INTERVAL = 1.0
#: The cost of a round: so many names that have no such rule.
NAMES = 1000
#: The cost of the head of a queue besides its name: 500 of both took 1.5 ms.
HEAD = 1

_log = Logger()


class Look(Operation):
    """Look at some queues.

    :ivar names: the queues of this pass; all that there are once it is at the end.
    :ivar next: which of them is looked at next, once this has run.
    :ivar isMore: whether there is more to do at once.
    :ivar removed: the queues that were removed.
    """

    __slots__ = (
        "_first",
        "_isHeld",
        "_moved",
        "bytesFreed",
        "isMore",
        "names",
        "next",
        "removed",
    )

    def __init__(
        self,
        session: Session,
        names: Sequence[bytes],
        first: int,
        isHeld: Callable[[bytes], bool],
    ) -> None:
        """Remember where to begin.

        :param isHeld: tells whether a queue has to stay although it is empty.
        """
        super().__init__(session)
        self.names = names
        self._first = first
        self._isHeld = isHeld
        self.undo()

    def undo(self) -> None:
        """Begin there again."""
        super().undo()
        self.next = self._first
        self.bytesFreed = 0
        self.isMore = False
        self._moved: dict[bytes, int] = {}
        self.removed: list[bytes] = []

    def run(self, store: IQueueStore) -> int:
        """Look until it is enough."""
        self.undo()
        if self._first >= len(self.names):
            self._first = self.next = 0
            self.names = store.names()
        of = self.client.policies.of
        cost = looked = 0
        while looked < NAMES and self.next < len(self.names):
            queue = self.names[self.next]
            policy = of(queue)
            looked += 1
            if policy is not None:
                looked += HEAD if mayExpire(policy.rule) else 0
                cost += self._expire(store, queue, policy.rule)
                # Nobody can use what is paused.
                cost += 0 if policy.paused else self._remove(store, queue, policy.rule)
            if cost >= LOOK_COST:
                self.isMore = True
                break
            self.next += 1
        return cost

    def _expire(self, store: IQueueStore, queue: bytes, rule: Rule) -> int:
        expired = expire(store, queue, rule, self.client.policies.now())
        self.bytesFreed += expired.freed
        if rule.expiredTo is not None and expired.messages:
            moved = self._moved.get(rule.expiredTo, 0)
            self._moved[rule.expiredTo] = moved + expired.messages
        return expired.cost

    def _remove(self, store: IQueueStore, queue: bytes, rule: Rule) -> int:
        """Remove a queue that is idle; return what that costs."""
        if not rule.idleSeconds:
            return 0
        since = store.idleSince(queue)
        # It may have been used so much later.
        later = self.client.policies.now() / 1000 - rule.idleSeconds - USED
        if since is None or since > later or self._isHeld(queue):
            return 0
        store.delete(queue)
        self.removed.append(queue)
        return 10 * MESSAGE_COST

    def madeVisible(self) -> Iterable[tuple[bytes, int]]:
        """Tell where messages moved to."""
        yield from self._moved.items()


class PolicySweeper:
    """Do rounds, as long as there are rules."""

    def __init__(
        self, connect: Connect, after: After, *holders: Callable[[bytes], bool]
    ) -> None:
        """Begin once :meth:`start` is called.

        :param holders: tell whether a queue has to stay although it is empty.
        """
        self._after = after
        self._holders = holders
        self._session = connect(self._cbDone)
        self._names: Sequence[bytes] = ()
        self._next = 0
        self._look: Look | None = None
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Begin, once the store is open."""
        self._call = self._after(INTERVAL, self._round)

    def stop(self) -> None:
        """End."""
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def _round(self) -> None:
        if self._session.policies.rules.isEmpty:
            self.start()
        else:
            self._submit()

    def _submit(self) -> None:
        self._look = Look(self._session, self._names, self._next, self._isHeld)
        self._session.submit(self._look)

    def _isHeld(self, queue: bytes) -> bool:
        return any(holds(queue) for holds in self._holders)

    def _cbDone(self) -> None:
        look = self._look
        if look is None or not look.done or self._call is None:
            return
        self._look = None
        self._names, self._next = look.names, look.next
        for queue in look.removed:
            name = shownName(queue)
            _log.info("Queue {queue} is removed: nobody uses it", queue=name)
        error = look.result
        if isinstance(error, QueueError):
            # Nothing of it is done.  Without this queue it may go better.
            self._next += 1
            if not isinstance(error, StoreFailed):
                _log.error("Sweeping stops until the next round: {why}", why=error)
        if look.isMore:
            self._submit()
        else:
            self.start()
