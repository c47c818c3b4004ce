"""Streaming: a reply that is made piece by piece, as its reader takes it.

Not more than a piece and what the socket holds is in memory of the text; and other work
of the reactor comes between two pieces.  A reader that takes nothing for PATIENCE
seconds is cut off.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Seconds that a reader may take nothing.
PATIENCE = 30.0
#: The level of zlib: text like this becomes a twelfth, at 200 MB a second.
LEVEL = 1
#: Window bits that make zlib write gzip's format.
_GZIP = 31


def compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield pieces in gzip's format; some of them are empty."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


@implementer(IPushProducer)
class Streamer:
    """Send the pieces of one reply."""

    def __init__(
        self, clock: IReactorTime, request: Any, pieces: Iterator[bytes]
    ) -> None:
        """Take a request whose headers are complete; :meth:`start` begins."""
        self._clock = clock
        self._request = request
        self._pieces = pieces
        #: Sends the next piece, or gives the reader up.
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to send."""
        self._request.registerProducer(self, True)
        self._next()

    def _next(self) -> None:
        self._call = None
        piece = next(self._pieces, None)
        if piece is None:
            self._request.unregisterProducer()
            self._request.finish()
            return
        # The reader may be found gone by this, or full, which is told at once.
        self._call = self._clock.callLater(0, self._next)
        if piece:
            self._request.write(piece)

    def _cancel(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def pauseProducing(self) -> None:
        """Wait: the reader has enough to take."""
        self._cancel()
        self._call = self._clock.callLater(PATIENCE, self._giveUp)

    def resumeProducing(self) -> None:
        """Go on."""
        self._cancel()
        self._call = self._clock.callLater(0, self._next)

    def stopProducing(self) -> None:
        """Send no more: the reader is gone."""
        self._cancel()
        # They know each other, and would wait for the garbage collector.
        self._request = None

    def _giveUp(self) -> None:
        self._call = None
        self._request.channel.forceAbortClient()
