"""AMQP connections for one purpose each, made again whenever they are lost.

A link has one connection, to one node of the cluster.  While it has none, it tries
every node, one after the other, each a little later than the one before or as soon as
that one fails: a node that stands still takes connections and says nothing.  The first
one whose connection is open, and that offers what is needed, is taken; the others are
cut off.  Each node is tried again
after a delay that doubles, with jitter.

The user of a link hears of three things, each when it happens: that it is up, that it
is down (all channels were closed before), and that the node takes no messages for want
of memory or disk space, or takes them again.  What the user does wrong in a callback
costs the connection and is logged; it never reaches the reactor.
"""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet import protocol
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from memq.figures import LinkState
from memq.rabbitmq.links.abilities import lackOf
from memq.rabbitmq.links.connections import (
    AMQPConnection,
    AMQPProtocol,
    Timer,
    reasonOf,
)
from memq.ratelimit import Rarely

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from memq.rabbitmq.links.channel import Channel
    from memq.rabbitmq.links.connections import Cluster, Node

#: Seconds between the first attempts at two nodes, if the former has not failed.
STAGGER = 0.2
#: Seconds before a node is tried again, at first and at most; half of that to one and
#: a half times is waited.
SOONEST, LATEST = 0.05, 2.0
#: Seconds before which a connection is lost too soon: the next one is made later, for
#: what it is used for may be what a node closes it for (541, 80 times a second).
LIVED = 1.0
#: Seconds that an attempt may take until the connection is open.
PATIENCE = 5.0
#: Seconds that the node may take to say good-bye.
FAREWELL = 1.0
#: Channels that a connection has at most, unless a node allows fewer.
CHANNELS = 2_047
#: Seconds that a node which was left is tried only after the others.
AVOIDED = 30.0

_log = Logger()


class LinkUser(Protocol):
    """Who hears of a link."""

    def linkUp(self) -> None:
        """Begin: there is a connection, without channels."""

    def linkDown(self, why: str) -> None:
        """End: the connection is lost, and all channels with it."""

    def linkBlocked(self, why: str | None) -> None:
        """Note that the node takes no messages and why, or None: takes them again."""


class _Attempt:
    """A node that is tried, until it is taken or another one is."""

    def __init__(self, link: Link, node: Node, clock: IReactorTime) -> None:
        self.node = node
        self.amqp: AMQPConnection | None = None
        self._link, self._clock = link, clock
        self._failures = 0
        self._connecting: Deferred[Any] | None = None
        self._call: IDelayedCall | None = None

    def after(self, seconds: float) -> None:
        """Begin some time later."""
        self._call = self._clock.callLater(seconds, self._begin)

    def hurry(self) -> bool:
        """Begin now if it has not tried at all; say whether."""
        if self._failures or self._connecting is not None:
            return False
        self._stopTimer()
        self.after(0)
        return True

    def _begin(self) -> None:
        if self.node.name == self._link.excluded():
            self._later()
            return
        self._call = self._clock.callLater(PATIENCE, self._giveUp)
        factory = protocol.Factory.forProtocol(self._build)
        factory.noisy = False
        self._connecting = self.node.endpoint.connect(factory)
        self._connecting.addErrback(self._ebConnect)

    def _build(self) -> AMQPProtocol:
        self.amqp = AMQPConnection(self._link.parameters, self._clock, self)
        return AMQPProtocol(self.amqp)

    def _giveUp(self) -> None:
        self._call = None
        self._cut()
        self._fail("no answer in time")

    def _ebConnect(self, failure: Failure) -> None:
        # None: it was cancelled from here.
        if self._connecting is not None:
            assert failure.value is not None
            self._fail(reasonOf(failure.value))

    def _fail(self, why: str, isUnfit: bool = False) -> None:
        self._stopTimer()
        self.amqp = self._connecting = None
        self._later()
        self._link.noteFailed(self.node, why, isUnfit)

    def _later(self) -> None:
        """Try again later; the next node is tried now."""
        self._failures += 1
        self.after(self._link.delay(self._failures))
        self._link.hurry()

    def _stopTimer(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _cut(self) -> None:
        """Cut off what there is, in whatever state."""
        amqp, self.amqp = self.amqp, None
        connecting, self._connecting = self._connecting, None
        if amqp is not None and amqp.transport is not None:
            amqp.transport.abortConnection()
        elif connecting is not None:
            connecting.cancel()

    def end(self) -> None:
        """End it: another node was taken, or the link stops."""
        self._stopTimer()
        self._cut()

    # What the connection tells.

    def opened(self, amqp: AMQPConnection) -> None:
        """Be the one that is taken; one that was cut off receives nothing more."""
        lack = lackOf(amqp)
        if lack:
            self._cut()
            self._fail(lack, isUnfit=True)
            return
        self._stopTimer()
        self._link.attemptOpened(self, amqp)

    def failed(self, amqp: AMQPConnection, error: BaseException) -> None:
        """Try again later, if it was not cut off from here."""
        if amqp is self.amqp:
            self._fail(reasonOf(error))

    def closed(self, amqp: AMQPConnection, error: BaseException) -> None:
        """Tell that the link is down, if it was the one that was taken."""
        if amqp is self.amqp:
            self._link.connectionClosed(reasonOf(error))


class Link:
    """A connection for one purpose; see above.

    :ivar parameters: pika's.
    :ivar trouble: why a node could not be had the last time; empty if all could.
    :ivar isBlocked: whether the node takes no messages now.
    """

    def __init__(
        self,
        clock: IReactorTime,
        cluster: Cluster,
        purpose: str,
        user: LinkUser,
        randomly: Callable[[], float] = random.random,
        excluded: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Begin nothing yet.

        :param purpose: what it is for, in a word, for the log.
        :param randomly: returns 0 to 1.
        :param excluded: returns the name of a node that is not tried now.
        """
        self.excluded = excluded
        self.parameters = cluster.parameters
        self.isBlocked = False
        self.trouble = ""
        self._clock, self._nodes, self._purpose = clock, cluster.nodes, purpose
        self._user, self._randomly = user, randomly
        self._rarely = cluster.rarely or Rarely(clock.seconds)
        self._attempts: list[_Attempt] = []
        self._amqp: AMQPConnection | None = None
        #: The node it is connected to, or was last.
        self._node: Node | None = None
        #: By the names of nodes that were left, until when they are tried last.
        self._avoided: dict[str, float] = {}
        self._stopping: Deferred[None] | None = None
        #: The nodes that lack what is needed.
        self._unfit: set[str] = set()
        #: When it was opened last, and how many were lost soon, one after the other.
        self._openedAt = 0.0
        self._short = self._lost = 0

    @property
    def isUp(self) -> bool:
        """Whether channels can be opened; not while those of a lost one end."""
        return self._amqp is not None and bool(self._amqp.is_open)

    @property
    def isUnfit(self) -> bool:
        """Whether no node offers what is needed, each when it was tried last."""
        return len(self._unfit) == len(self._nodes)

    @property
    def node(self) -> str | None:
        """The name of the node that it is connected to; None while it is down."""
        return self._node.name if self.isUp and self._node is not None else None

    def states(self) -> list[LinkState]:
        """Return its state."""
        return [LinkState(self._purpose, self.node, self.isBlocked, self._lost)]

    def start(self) -> None:
        """Begin to try the nodes."""
        self._seek(0.0)

    def _seek(self, delay: float) -> None:
        """Begin to try the nodes, after some seconds."""
        order = self._order()
        self._attempts = [_Attempt(self, node, self._clock) for node in order]
        for at, attempt in enumerate(self._attempts):
            attempt.after(delay + at * STAGGER)

    def _order(self) -> list[Node]:
        """Return the nodes as they are tried: from a random one on, bad ones last."""
        first = int(self._randomly() * len(self._nodes))
        order = [*self._nodes[first:], *self._nodes[:first]]
        now = self._clock.seconds()
        return sorted(
            order,
            key=lambda node: (
                self._avoided.get(node.name, 0) > now,
                node is self._node,
            ),
        )

    def delay(self, failures: int) -> float:
        """Return how many seconds after that many failures a node is tried again."""
        seconds: float = min(LATEST, SOONEST * 2.0 ** min(failures - 1, 10))
        return seconds * (0.5 + self._randomly())

    def stop(self) -> Deferred[None]:
        """End in order; the Deferred fires when the connection is closed."""
        self._endAttempts()
        if self._amqp is None:
            return succeed(None)
        if self._stopping is None:
            self._stopping = Deferred()
            amqp = self._amqp
            amqp.close()
            bound = self._clock.callLater(FAREWELL, amqp.cut)
            self._stopping.addBoth(lambda _: Timer(bound).cancel())
        return self._stopping

    def leave(self, why: str, seconds: float = AVOIDED) -> None:
        """Take another node: this one is not to be trusted.

        :param seconds: how long it is tried only after the others.
        """
        amqp, name = self._amqp, self.node
        if amqp is not None and name is not None and amqp.cut():
            self._avoided[name] = self._clock.seconds() + seconds
            _log.warn("Leaving {node}: {why}", node=name, why=why)

    def hasRoom(self, most: int = CHANNELS) -> bool:
        """Return whether another channel can be opened; the link has to be up.

        :param most: how many of CHANNELS there may be; where a node allows fewer, that
            share of them.
        """
        assert self._amqp is not None
        return self._amqp.hasRoom(most / CHANNELS)

    def channel(
        self,
        opened: Callable[[Channel], object],
        closed: Callable[[Channel, str], object],
    ) -> Channel:
        """Open a channel; the link has to be up, and to have room for it.

        :param opened: is called with it when it can be used.
        :param closed: is called once with it and why, at its end, open or not.
        """
        assert self._amqp is not None
        channel: Channel = self._amqp.channel(on_open_callback=opened)

        def _cbClosed(_: Channel, error: Exception) -> None:
            channel.ended = partial(self._guard, closed, channel, reasonOf(error))

        channel.add_on_close_callback(_cbClosed)
        return channel

    @staticmethod
    def _guard(callback: Callable[..., object], *arguments: object) -> None:
        """Call what must not keep the others from hearing of an end."""
        try:
            callback(*arguments)
        except Exception:
            _log.failure("An error after the end of a channel or connection")

    # What attempts and the connection tell.

    def hurry(self) -> None:
        """Try the next node now that was not tried yet."""
        any(each.hurry() for each in self._attempts)

    def noteFailed(self, node: Node, why: str, isUnfit: bool) -> None:
        """Say so in the log from time to time."""
        self.trouble = f"{node.name}: {why}"
        (self._unfit.add if isUnfit else self._unfit.discard)(node.name)
        count = self._rarely.count(node.name)
        if count:
            told = {"node": node.name, "purpose": self._purpose, "count": count}
            words = "No connection for {purpose} to {node} ({count} such): {why}"
            _log.warn(words, **told, why=why)

    def attemptOpened(self, attempt: _Attempt, amqp: AMQPConnection) -> None:
        """Take the first connection that is open."""
        self._attempts.remove(attempt)
        self._endAttempts()
        self._amqp, self._node, self.isBlocked = amqp, attempt.node, False
        self._unfit.clear()
        self._openedAt = self._clock.seconds()
        amqp.add_on_connection_blocked_callback(self._blocked)
        amqp.add_on_connection_unblocked_callback(self._unblocked)
        if self._rarely.count(f"{self._purpose} {attempt.node.name}"):
            _log.info(
                "Connected to {node} for {purpose}",
                node=attempt.node.name,
                purpose=self._purpose,
            )
        self._user.linkUp()

    def _endAttempts(self) -> None:
        attempts, self._attempts = self._attempts, []
        for each in attempts:
            each.end()

    def connectionClosed(self, why: str) -> None:
        """Tell the user, and begin again."""
        self._amqp, self.isBlocked = None, False
        if self._stopping is None:
            self._lost += 1
            self._noteLost(why)
            lived = self._clock.seconds() - self._openedAt
            self._short = self._short + 1 if lived < LIVED else 0
            self._seek(self.delay(self._short) if self._short else 0.0)
        self._guard(self._user.linkDown, why)
        if self._stopping is not None:
            self._stopping.callback(None)

    def _noteLost(self, why: str) -> None:
        name = self._node.name if self._node is not None else ""
        count = self._rarely.count(f"lost {name}")
        if count:
            told = {"node": name, "purpose": self._purpose, "count": count}
            words = "The connection to {node} for {purpose} is lost ({count} such)"
            _log.warn(words + ": {why}", **told, why=why)

    def _blocked(self, _: object, method: Any) -> None:
        self.isBlocked = True
        self._user.linkBlocked(str(method.method.reason))

    def _unblocked(self, _: object, __: object) -> None:
        self.isBlocked = False
        self._user.linkBlocked(None)
