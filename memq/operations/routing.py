"""Routing: which queues a set goes to, which of them refuse it, and what has to go.

The policy of a queue is asked for when the set runs.  A set that goes to several queues
goes to all of them or to none: first every one of them is asked, and only when none
refuses is anything changed, in the one transaction.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from twisted.logger import Logger

from memq.display import shownName
from memq.errors import NotStored, Refusing
from memq.message import LargeBody, Message
from memq.operations.base import MESSAGE_COST, roomFor
from memq.policy.effective import PLAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from memq.figures import Kept
    from memq.interfaces import IQueueStore
    from memq.operations.base import Client
    from memq.policy.effective import EffectivePolicy, Policies

#: The cost of the messages that one set drops to make room, about: it would
#: hold up everybody if a queue whose limit was lowered came down to that at once.
DROP_COST = 4 * 1024 * 1024

#: Seconds up to which an exptime is counted from the set on: 30 days.
RELATIVE = 30 * 24 * 3600

_log = Logger()

#: A queue, and the body that goes there.
_Place = tuple[bytes, bytes | LargeBody]


class SetRequest(NamedTuple):
    """The queue and the options of a set.

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
    policy: EffectivePolicy
    body: bytes | LargeBody
    expires: int

    @property
    def size(self) -> int:
        """Return the bytes of the body."""
        return _size(self.body)


class Effects:
    """The effects of sets.

    :ivar cost: what that counts in a turn.
    :ivar bytesFreed: bytes that it made free inside the files, less than 0 for
        what it took.
    :ivar shown: how many messages each queue has now for those that wait.
    :ivar used: the bodies in parts that are messages now.
    :ivar dropped: those that were, and of which the parts are still there.
    """

    __slots__ = ("bytesFreed", "cost", "dropped", "shown", "used")

    def __init__(self) -> None:
        self.cost = self.bytesFreed = 0
        self.shown: Counter[bytes] = Counter()
        self.used: list[LargeBody] = []
        self.dropped: list[LargeBody] = []


def destinations(policies: Policies, queue: bytes) -> Sequence[bytes]:
    """Return the queues that a set to one goes to."""
    rule = policies.rules.of(queue)
    return (queue,) if rule is None else rule.reaches or (queue,)


def expiry(policy: EffectivePolicy, exptime: int, now: int) -> int | None:
    """Return when a message expires that is set now, by memcached's rule.

    :param exptime: as it was sent; it says nothing unless the queue honors it.
    :param now: milliseconds since 1970-01-01 UTC.
    :return: the same, 0 for never, None when it has expired already.
    """
    if not exptime or not policy.rule.honorExptime:
        return 0
    at = exptime * 1000 + (now if exptime <= RELATIVE else 0)
    return at if exptime > 0 and at > now else None


def _size(body: bytes | LargeBody) -> int:
    return len(body) if isinstance(body, bytes) else body.size


def isRoom(policy: EffectivePolicy, items: int, size: int) -> bool:
    """Return whether a queue may have so many messages, of so many bytes in all."""
    maxItems, maxBytes = policy.maxItems, policy.rule.maxBytes
    return (not maxItems or items <= maxItems) and (not maxBytes or size <= maxBytes)


def _takes(policy: EffectivePolicy, kept: Kept, size: int) -> bool:
    """Return whether a queue has room for one more message, or can have.

    :param size: the bytes of its body.
    """
    items, bytes, ready, readyBytes = kept
    if policy.rule.dropOldest:
        return isRoom(policy, items - ready + 1, bytes - readyBytes + size)
    return isRoom(policy, items + 1, bytes + size)


def _targets(
    store: IQueueStore,
    policies: Policies,
    asked: SetRequest,
    places: Iterable[_Place],
    now: int,
) -> list[_Target] | NotStored:
    """Return where a message goes to, or which of the queues refuses it."""
    targets: list[_Target] = []
    for queue, body in places:
        policy = policies.of(queue) or PLAIN
        if policy.writesArePaused:
            return NotStored(asked.queue, queue, Refusing.PAUSED)
        expires = expiry(policy, asked.exptime, now)
        if expires is None:
            continue
        if not _takes(policy, store.kept(queue), _size(body)):
            return NotStored(asked.queue, queue, Refusing.FULL)
        targets.append(_Target(queue, policy, body, expires))
    return targets


def _makeRoom(store: IQueueStore, target: _Target, effects: Effects) -> None:
    """Drop the oldest messages of a queue until there is room, or enough for once."""
    queue, policy, _, _ = target
    count = cost = 0
    while cost < DROP_COST:
        kept = store.kept(queue)
        if not kept.ready or isRoom(policy, kept.items + 1, kept.bytes + target.size):
            break
        found = store.pop(queue)
        cost += MESSAGE_COST
        if not isinstance(found, Message):
            _log.error(
                "In queue {queue}, to make room: {why}",
                queue=shownName(queue),
                why=found,
            )
            continue
        count += 1
        cost += len(found.body)
        effects.bytesFreed += found.size
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
        effects.bytesFreed -= roomFor(1, len(body))
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


def route(
    store: IQueueStore,
    client: Client,
    asked: SetRequest,
    flags: int,
    places: Iterable[_Place],
    effects: Effects,
) -> NotStored | int:
    """Let a message be where a set asks for, or nowhere.

    :param places: the queues that it goes to, each with a body for itself if that is
        in parts.
    :param effects: gets what was done.

    :return: a number when it was not refused.
    """
    policies = client.policies
    now = policies.now()
    own = policies.of(asked.queue)
    if own is not None and own.writesArePaused:
        return NotStored(asked.queue, asked.queue, Refusing.PAUSED)
    targets = _targets(store, policies, asked, places, now)
    if isinstance(targets, NotStored):
        return targets
    due = now + asked.delay * 1000 if asked.delay else 0
    for target in targets:
        if target.policy.rule.dropOldest:
            _makeRoom(store, target, effects)
        _put(store, target, flags, due, effects)
    if due:
        client.expectDue(due)
    return len(targets)
