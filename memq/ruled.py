"""Sets that are more than appending: to queues with rules, and those with a delay.

Whether a message may come, where it goes to and what has to go for it is decided when
the operation runs, by the plans that hold then.  A set that goes to several queues goes
to all of them or to none: first every one of them is asked, and only when none refuses
is anything changed, in the one transaction.

The queues that a body in parts goes to are fixed when its first part comes: it is kept
once for each of them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from twisted.logger import Logger

from memq.errors import NotStored, QueueError
from memq.message import LargeBody, Message
from memq.operations import (
    MESSAGE_COST,
    Operation,
    Push,
    PushLarge,
    Upload,
    roomFor,
)
from memq.plans import PLAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from memq.imemq import IQueueStore, Kept
    from memq.plans import Plan, Plans
    from memq.session import Session

#: What the messages count together that one set drops to make room, about: it would
#: hold up everybody if a queue whose limit was lowered came down to that at once.
DROP_COST = 4 * 1024 * 1024

#: Seconds up to which an exptime is counted from the set on: 30 days.
RELATIVE = 30 * 24 * 3600

_log = Logger()

#: A queue, and the body that goes there.
_Place = tuple[bytes, bytes | LargeBody]


class Asked(NamedTuple):
    """What a set says of its message.

    :ivar exptime: as it was sent.
    :ivar delay: seconds until the message can be seen.
    """

    queue: bytes
    exptime: int = 0
    delay: int = 0


class _Target(NamedTuple):
    """Where a message goes to.

    :ivar expires: when it expires there, in ms since 1970-01-01 UTC; 0 for never.
    """

    queue: bytes
    plan: Plan
    body: bytes | LargeBody
    expires: int

    @property
    def size(self) -> int:
        """Return the bytes of the body."""
        return _size(self.body)


class Effects:
    """What sets have done.

    :ivar cost: what that counts in a turn.
    :ivar gain: bytes that it made free inside the files, less than 0 for what it took.
    :ivar shown: how many messages each queue has now for those that wait.
    :ivar used: the bodies in parts that are messages now.
    :ivar dropped: those that were, and of which the parts are still there.
    """

    __slots__ = ("cost", "dropped", "gain", "shown", "used")

    def __init__(self) -> None:
        """Begin with nothing done."""
        self.cost = self.gain = 0
        self.shown: Counter[bytes] = Counter()
        self.used: list[LargeBody] = []
        self.dropped: list[LargeBody] = []


def reached(plans: Plans, queue: bytes) -> Sequence[bytes]:
    """Return the queues that a set to one goes to."""
    rule = plans.rules.of(queue)
    return (queue,) if rule is None else rule.reaches or (queue,)


def expiry(plan: Plan, exptime: int, now: int) -> int | None:
    """Return when a message expires that is set now, by memcached's rule.

    :param exptime: as it was sent; it says nothing unless the queue honors it.
    :param now: milliseconds since 1970-01-01 UTC.
    :return: the same, 0 for never, None when it has expired already.
    """
    if not exptime or not plan.rule.honorExptime:
        return 0
    at = exptime * 1000 + (now if exptime <= RELATIVE else 0)
    return at if exptime > 0 and at > now else None


def _size(body: bytes | LargeBody) -> int:
    return len(body) if isinstance(body, bytes) else body.size


def _isRoom(plan: Plan, items: int, size: int) -> bool:
    """Return whether a queue may have so many messages, of so many bytes in all."""
    maxItems, maxBytes = plan.maxItems, plan.rule.maxBytes
    return (not maxItems or items <= maxItems) and (not maxBytes or size <= maxBytes)


def _takes(plan: Plan, kept: Kept, size: int) -> bool:
    """Return whether a queue has room for one more message, or can have.

    :param size: the bytes of its body.
    """
    items, bytes, ready, readyBytes = kept
    if plan.rule.dropOldest:
        return _isRoom(plan, items - ready + 1, bytes - readyBytes + size)
    return _isRoom(plan, items + 1, bytes + size)


def _targets(
    store: IQueueStore, plans: Plans, asked: Asked, places: Iterable[_Place], now: int
) -> list[_Target] | None:
    """Return where a message goes to, None if one of the queues refuses it."""
    targets: list[_Target] = []
    for queue, body in places:
        plan = plans.of(queue) or PLAIN
        if plan.writesArePaused:
            return None
        expires = expiry(plan, asked.exptime, now)
        if expires is None:
            continue
        if not _takes(plan, store.kept(queue), _size(body)):
            return None
        targets.append(_Target(queue, plan, body, expires))
    return targets


def _makeRoom(store: IQueueStore, target: _Target, effects: Effects) -> None:
    """Drop the oldest messages of a queue until there is room, or enough for once."""
    queue, plan, _, _ = target
    count = cost = 0
    while cost < DROP_COST:
        kept = store.kept(queue)
        if not kept.ready or _isRoom(plan, kept.items + 1, kept.bytes + target.size):
            break
        found = store.pop(queue)
        cost += MESSAGE_COST
        if not isinstance(found, Message):
            _log.error(
                "In queue {queue!r}, to make room: {why}", queue=queue, why=found
            )
            continue
        count += 1
        cost += len(found.body)
        effects.gain += found.size
        if found.large is not None:
            effects.dropped.append(found.large)
    effects.cost += cost
    if count:
        store.countDiscarded(queue, count)


def _put(
    store: IQueueStore, target: _Target, flags: int, due: int, effects: Effects
) -> None:
    """Append a message, or keep it until it is due if that is not 0."""
    queue, _, body, expires = target
    effects.cost += MESSAGE_COST
    if isinstance(body, bytes):
        effects.cost += len(body)
        effects.gain -= roomFor(1, len(body))
    else:
        effects.used.append(body)
    if due:
        store.pushDelayed(queue, flags, body, due, expires=expires)
        return
    effects.shown[queue] += 1
    if isinstance(body, bytes):
        store.push(queue, flags, body, expires=expires)
    else:
        store.pushLarge(queue, flags, body, expires=expires)


def _land(
    store: IQueueStore,
    session: Session,
    asked: Asked,
    flags: int,
    places: Iterable[_Place],
    effects: Effects,
) -> NotStored | int:
    """Let a message be where a set asks for, or nowhere.

    :return: a number when it was not refused.
    """
    plans = session.plans
    now = plans.now()
    own = plans.of(asked.queue)
    if own is not None and own.writesArePaused:
        return NotStored()
    targets = _targets(store, plans, asked, places, now)
    if targets is None:
        return NotStored()
    due = now + asked.delay * 1000 if asked.delay else 0
    for target in targets:
        if target.plan.rule.dropOldest:
            _makeRoom(store, target, effects)
        _put(store, target, flags, due, effects)
    if due:
        session.expectDue(due)
    return len(targets)


class RuledPush(Push):
    """Append messages as plans have it, all of one queue and of one kind.

    :ivar asked: what is said of each of them.
    """

    __slots__ = ("_effects", "asked")

    def __init__(
        self, session: Session, asked: Asked, flags: int, body: bytes, noreply: bool
    ) -> None:
        """Take over a message."""
        super().__init__(session, asked.queue, flags, body, noreply)
        self.asked = asked
        #: None when they were appended as to any queue.
        self._effects: Effects | None = None

    def run(self, store: IQueueStore) -> int:
        """Append them, or some; refuse the others."""
        plans, asked = self.session.plans, self.asked
        if not asked.delay and plans.of(asked.queue) is None:
            return super().run(store)
        effects = self._effects = Effects()
        queues = reached(plans, asked.queue)
        self.results = [
            _land(
                store,
                self.session,
                asked,
                flags,
                [(queue, body) for queue in queues],
                effects,
            )
            for flags, body in self.messages
        ]
        self.gain = effects.gain
        return effects.cost

    def apart(self) -> Iterator[Operation]:
        """Yield a push for each message, and take over what came of it."""
        results: list[int | QueueError] = []
        effects = Effects()
        self.results, self._effects = results, effects
        for flags, body in self.messages:
            one = RuledPush(self.session, self.asked, flags, body, self.noreply)
            yield one
            results += one.results
            effects.shown.update(dict(one.shown()))
            if one._effects is not None:
                effects.dropped += one._effects.dropped

    def undo(self) -> None:
        """Forget what it did."""
        super().undo()
        self._effects = None

    def shown(self) -> Iterable[tuple[bytes, int]]:
        """Tell how many were appended where."""
        effects = self._effects
        return super().shown() if effects is None else effects.shown.items()

    def release(self) -> None:
        """Let the parts go of what was dropped: that is told for good now."""
        effects, self._effects = self._effects, None
        if effects is not None:
            for large in effects.dropped:
                self.session.release(large)


class RuledPushLarge(PushLarge):
    """Append a message whose parts are kept, as plans have it."""

    __slots__ = ("_asked", "_effects", "gain")

    def __init__(
        self, session: Session, asked: Asked, flags: int, upload: Upload
    ) -> None:
        """Take over the message."""
        super().__init__(session, asked.queue, flags, upload)
        self.gain = 0
        self._asked = asked
        self._effects = Effects()

    def run(self, store: IQueueStore) -> int:
        """Append it, if its body could be kept and no queue refuses it."""
        upload = self.upload
        effects = self._effects = Effects()
        if upload.error is not None:
            self.result = upload.error
            return 0
        queues = upload.queues or (self.queue,)
        places = zip(queues, upload.bodies(), strict=True)
        self.result = _land(
            store, self.session, self._asked, self.flags, places, effects
        )
        self.gain = effects.gain
        return effects.cost

    def undo(self) -> None:
        """Forget what it did."""
        super().undo()
        self._effects = Effects()

    def shown(self) -> Iterable[tuple[bytes, int]]:
        """Tell where it was appended."""
        return self._effects.shown.items()

    def release(self) -> None:
        """Let the parts go of what was dropped, and those that no message has."""
        session, effects = self.session, self._effects
        if isinstance(self.result, QueueError):
            session.release(self.upload)
        else:
            effects.dropped += [
                body for body in self.upload.bodies() if body not in effects.used
            ]
        for large in effects.dropped:
            session.release(large)


class AddQueue(Operation):
    """Make a queue with a limit; the result is whether there was none."""

    __slots__ = ("_limit", "_queue")

    def __init__(self, session: Session, queue: bytes, limit: int) -> None:
        """Remember which."""
        super().__init__(session)
        self._queue = queue
        self._limit = limit

    def run(self, store: IQueueStore) -> int:
        """Make it."""
        self.result = store.setLimit(self._queue, self._limit)
        return MESSAGE_COST if self.result else 0
