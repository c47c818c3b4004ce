"""Viewers: replies that go on until the viewer leaves, as server-sent events.

There are MOST of them at most.  To one that does not read nothing is sent: what it
misses is gone, and its connection holds no more than one event and what a transport
buffers.  Who does not read for PATIENCE seconds is cut off, and so makes room for
others; a browser comes back by itself.

A viewer is a client of the web site as any, and counts as one that is at work.  The
site has four times as many connections, so that scrapes find room beside them.

The format is that of the HTML standard, "Server-sent events", read in 2026.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Viewers at a time.
MOST = 16
#: Seconds between two comments, which keep proxies from closing the connection.
KEEP = 15.0
#: Seconds that a viewer may read nothing.
PATIENCE = 60.0
#: The type of content.
TYPE = b"text/event-stream; charset=utf-8"
#: Milliseconds after which a browser connects again.
RETRY = 3000


def event(name: str, data: bytes) -> bytes:
    """Return an event as it is sent.

    :param data: JSON, in one line.
    """
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)


@implementer(IPushProducer)
class Viewer:
    """Somebody who reads, or does not.

    :ivar isGone: whether nothing can be sent any more.
    :ivar seesAll: whether there is no queue that it may not see.
    """

    def __init__(self, clock: IReactorTime, request: Any) -> None:
        """Take a request that is not answered yet; :meth:`begin` does."""
        self._clock = clock
        self._request: Any = request
        self.isGone = False
        self.seesAll = True
        #: Since when it has not read; None while it does.
        self._pausedAt: float | None = None

    @property
    def isPaused(self) -> bool:
        """Whether it does not read."""
        return self._pausedAt is not None

    @property
    def isReady(self) -> bool:
        """Whether something can be sent to it."""
        return not (self.isGone or self.isPaused)

    @property
    def isStuck(self) -> bool:
        """Whether it has not read for too long."""
        since = self._pausedAt
        return since is not None and self._clock.seconds() - since >= PATIENCE

    def begin(self) -> None:
        """Answer, and say when to come again."""
        request = self._request
        request.notifyFinish().addBoth(self._cbGone)
        request.setHeader(b"Content-Type", TYPE)
        # nginx, for one, would collect what is sent.
        request.setHeader(b"X-Accel-Buffering", b"no")
        if request.channel._waitingForTransport:
            # It has not read the replies to earlier requests, and nobody says so again.
            self.pauseProducing()
        request.registerProducer(self, True)
        self.send(b"retry: %d\n\n" % RETRY)

    def send(self, data: bytes) -> None:
        """Send something if it reads, which may be over within this."""
        if self.isReady:
            self._request.write(data)

    def end(self) -> None:
        """End the reply and the connection, at once if it does not read."""
        if self.isGone:
            return
        if self.isPaused:
            self.cut()
            return
        # The end of the reply is that of the connection.
        self._request.channel.persistent = False
        self._request.unregisterProducer()
        self._request.finish()

    def cut(self) -> None:
        """Close the connection, and drop what it holds."""
        # The channel's own way is a line of the log.
        self._request.channel.transport.abortConnection()

    def _cbGone(self, result: object) -> None:
        self.isGone = True
        # Each knows the other, and would wait for the garbage collector.
        self._request = None

    def pauseProducing(self) -> None:
        """Note that it does not read."""
        self._pausedAt = self._clock.seconds()

    def resumeProducing(self) -> None:
        """Note that it reads again."""
        self._pausedAt = None

    def stopProducing(self) -> None:
        """Note that it is gone."""
        self.isGone = True


class Viewers:
    """All of them, whatever they view."""

    def __init__(self, clock: IReactorTime) -> None:
        """Begin with none."""
        self._clock = clock
        self._isOver = False
        self._viewers: dict[Viewer, None] = {}
        self._call: IDelayedCall | None = None

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._viewers)

    def refusal(self) -> str:
        """Return why there cannot be one more; nothing if there can."""
        if self._isOver:
            return "the server is stopping"
        if len(self._viewers) >= MOST:
            return f"there are {MOST} viewers already, as many as there may be"
        return ""

    def admit(self, request: Any) -> Viewer:
        """Return a new one, where there is no refusal; its reply has begun."""
        viewer = Viewer(self._clock, request)
        self._viewers[viewer] = None
        request.notifyFinish().addBoth(lambda _: self._viewers.pop(viewer))
        viewer.begin()
        if self._call is None:
            self._wait()
        return viewer

    def _wait(self) -> None:
        self._call = self._clock.callLater(KEEP, self._keep)

    def _keep(self) -> None:
        """Send each a comment, and cut those off that are stuck."""
        self._call = None
        for viewer in list(self._viewers):
            if viewer.isStuck:
                viewer.cut()
            else:
                viewer.send(b": there\n\n")
        if self._viewers:
            self._wait()

    def stop(self) -> None:
        """End them all, and take no more."""
        self._isOver = True
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
        self.end()

    def end(self) -> None:
        """End them all; they may come again."""
        for viewer in list(self._viewers):
            viewer.end()
