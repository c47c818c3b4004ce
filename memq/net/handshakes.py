"""TLS handshakes: bounded in number and in time.

A handshake takes a millisecond or two of the processor, and some 50 KB until it is
done; and a client that is not known yet may begin any number, and finish none.  So
there are HANDSHAKES at once, of which a round of the reactor begins BEGINNINGS: what
others ask is served between them.  The rest wait, as many as PENDING, and hold nothing
but a socket and what they sent first.  A client that sent nothing takes no place.

When many come at once and all are honest, all get their turn within a second.  When
most are not, those that stand still for STALLED seconds make room for those that wait;
the newest goes first, for the oldest are the likeliest to have been given up.  A client
has SECONDS in all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

#: Handshakes at once.
HANDSHAKES = 64
#: Handshakes that begin in a round of the reactor.
BEGINNINGS = 4
#: Connections without a finished handshake, those that wait among them.
PENDING = 1024
#: Seconds from the beginning of a connection to the end of its handshake.
SECONDS = 10.0
#: Seconds that a handshake may take when others wait.
STALLED = 1.0
#: Seconds between two looks at those that take long.
INTERVAL = 0.5


class Shaking(Protocol):
    """A connection whose handshake is not done."""

    def begin(self) -> None:
        """Begin the handshake."""

    def giveUp(self) -> None:
        """Cut the connection off; ``Handshakes.over`` may follow at once or later."""


class Handshakes:
    """Say when each handshake begins, and when it has taken too long.

    :ivar pending: connections that are not done, and when each began; the oldest first.
    :ivar shaking: those whose handshakes have begun, and when.
    :ivar waiting: those that wait for their turn, the newest last.
    """

    def __init__(self, clock: IReactorTime) -> None:
        """Begin with none."""
        self._clock = clock
        self.pending: dict[Shaking, float] = {}
        self.shaking: dict[Shaking, float] = {}
        self.waiting: dict[Shaking, None] = {}
        #: How many began in this round; whether its end is foreseen, and a look.
        self._begun = 0
        self._ends = self._looks = False

    def arrive(self, connection: Shaking) -> None:
        """Count a connection in; when there are too many, the oldest is cut off."""
        if len(self.pending) >= PENDING:
            oldest = next(iter(self.pending))
            self.over(oldest)
            oldest.giveUp()
        self.pending[connection] = self._clock.seconds()
        if not self._looks:
            self._looks = True
            self._clock.callLater(INTERVAL, self._look)

    def ask(self, connection: Shaking) -> bool:
        """Return whether it may begin at once; otherwise ``begin`` is called later."""
        if self._hasRoom() and not self.waiting:
            self._start(connection)
            return True
        self.waiting[connection] = None
        self._endRound()
        return False

    def done(self, connection: Shaking) -> None:
        """Note that a handshake has ended; the connection may still be there."""
        self.shaking.pop(connection, None)
        self.waiting.pop(connection, None)
        if self.waiting:
            self._endRound()

    def over(self, connection: Shaking) -> None:
        """Forget a connection: it is open, or gone."""
        self.pending.pop(connection, None)
        self.done(connection)

    def _hasRoom(self) -> bool:
        return len(self.shaking) < HANDSHAKES and self._begun < BEGINNINGS

    def _start(self, connection: Shaking) -> None:
        self.shaking[connection] = self._clock.seconds()
        self._begun += 1
        self._endRound()

    def _endRound(self) -> None:
        if not self._ends:
            self._ends = True
            self._clock.callLater(0, self._nextRound)

    def _nextRound(self) -> None:
        self._ends = False
        self._begun = 0
        while self.waiting and self._hasRoom():
            connection, _ = self.waiting.popitem()
            self._start(connection)
            connection.begin()

    def _look(self) -> None:
        """Cut off those that take too long."""
        now = self._clock.seconds()
        late = [each for each, began in self.pending.items() if now - began >= SECONDS]
        if self.waiting:
            late += [
                each
                for each, began in self.shaking.items()
                if now - began >= STALLED and now - self.pending[each] < SECONDS
            ]
        for connection in late:
            self.over(connection)
            connection.giveUp()
        self._looks = bool(self.pending)
        if self._looks:
            self._clock.callLater(INTERVAL, self._look)
