"""Interfaces: what sessions, connections, statistics and the web ask of an engine.

An *engine* carries out the operations of sessions, in the order of each, and says when
they are done.  :class:`memq.broker.broker.Broker` is the one over a store of this
process.  Another one may keep messages elsewhere and keep nothing itself: so nothing
here returns a message, and whatever takes time is an operation.

A :class:`Scheduler` is the part of an engine that says when a session runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime

    from memq.broker.diskspace import DiskSpaceGuard
    from memq.broker.memorybudget import Budget
    from memq.broker.refusals import Refusals
    from memq.broker.session import Session
    from memq.broker.taps.taps import Taps
    from memq.errors import StoreFailed
    from memq.figures import ClusterState, Outcome, Sums, Totals
    from memq.message import LargeBody, Message
    from memq.operations.openreads.opened import Opened
    from memq.operations.reads import Read
    from memq.policy.effective import Policies


class IEngine(Interface):
    """Carries out operations.

    All of it is called in the reactor's thread, and returns at once.
    """

    clock: IReactorTime = Attribute("Tells the time, and calls later.")
    policies: Policies = Attribute("What holds for which queue.")
    budget: Budget = Attribute("How much may be undelivered.")
    refusals: Refusals = Attribute("Counts the sets that were refused.")
    room: DiskSpaceGuard = Attribute("Tells whether sets are refused for now.")
    taps: Taps = Attribute("Those who get copies of what is set.")
    durable: bool = Attribute("Whether what is told as done outlives a power cut.")
    isStopping: bool = Attribute("Whether the process is about to end.")
    failure: StoreFailed | None = Attribute("Why nothing is carried out any more.")
    lacks: frozenset[str] = Attribute(
        "The figures of queues that it has not, by the names of QueueDetail, and disk."
    )
    refusing: str | None = Attribute("Why no set is taken for now, in some words.")
    turns: int = Attribute("How many transactions there were.")
    flushes: int = Attribute("How many flushes there were.")
    waiting: int = Attribute("How many commands were not told their result yet.")
    readers: int = Attribute("How many reads wait for a message.")

    # The beginning, and the end.

    def start() -> None:
        """Begin with what needs no client; called once, before anybody connects."""

    def stop() -> None:
        """Note that the process is about to end: what is open then is forgotten."""

    def drain() -> Deferred[None]:
        """Return a Deferred that fires when nothing waits any more."""

    # Connections, and what they tell of.

    def session(deliver: Callable[[], None]) -> Session:
        """Return a session for a new client.

        :param deliver: called when operations of the session are done.
        """

    def waiters(queue: bytes) -> int:
        """Return how many reads wait for messages of a queue."""

    def troubles() -> Iterator[str]:
        """Yield why clients cannot be served for now, each in a line."""

    def cluster() -> ClusterState | None:
        """Return what is known of those who keep the queues; None if it is this one."""

    # Figures that need no operation.  They may be ahead of what is durable.

    def refresh(asks: bool) -> Deferred[object]:
        """Return a Deferred that fires when names and sums can be told.

        It fires with another value where queues may have changed of which ``room`` has
        not heard, and fails with memq.errors.QueueError when they are not known.

        :param asks: whether they are asked for, if that has to be done elsewhere.
        """

    def names() -> list[bytes]:
        """Return the names of all queues, as far as they are known."""

    def sums(queues: Sequence[bytes]) -> Sums:
        """Return what some queues have together, of those that there are."""

    def gone() -> Totals:
        """Return what queues have counted that were deleted since the start."""

    def outcomes() -> Mapping[Outcome, int]:
        """Return what became of messages since the start."""

    # Calls of sessions.

    def expectDue(due: int) -> None:
        """Note that a delayed message is due at a time, in ms since 1970."""

    def part(large: LargeBody, number: int) -> bytes:
        """Return a part of a message that was popped.

        :raise memq.errors.QueueError: when that cannot be had.
        """

    def putBack(queue: bytes, message: Message) -> None:
        """Return a message that was taken and not delivered: its reader is gone."""

    def giveBack(opened: Opened) -> None:
        """Return an open read: its reader took too long."""

    def giveBackLater(opened: Sequence[Opened]) -> None:
        """Return open reads of which that could not be done now."""


class Places(Protocol):
    """Tells who came first, of reads that may wait."""

    def isBehind(self, read: Read) -> bool:
        """Return whether somebody else is before a read, which is to look now."""

    def tries(self, read: Read) -> None:
        """Note that a read runs that was promised a message."""


class Scheduler(Protocol):
    """The place where sessions stand until they run; only it writes their state.

    :ivar lines: the places of reads that wait.
    """

    @property
    def lines(self) -> Places:
        """Return the places of reads that wait."""

    def enqueue(self, session: Session, behind: bool = False) -> None:
        """Let a session run, if it may; ``behind`` when it has had a share."""

    def enqueueFirst(self, session: Session) -> None:
        """Let a session run before all others."""

    def block(self, session: Session) -> None:
        """Leave a session out."""

    def unblock(self, session: Session) -> None:
        """Let a session in again."""

    def leave(self, session: Session) -> None:
        """Let a session wait no longer: its client is gone."""

    def endWait(self, session: Session) -> None:
        """Answer the read that waits, with nothing."""
