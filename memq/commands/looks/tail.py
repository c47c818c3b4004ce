"""Tail: copies of what is set to some queues from now on, as fast as they are read.

A tail is the last command of its connection: whatever comes behind it is dropped.  It
ends with ``END`` when its client sends no more, or the server stops.

Nobody waits for it.  When its client does not read, or too much comes at once, copies
are dropped; how many, it says in a line before the next ones, or after a while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from memq.access.rights import READ
from memq.errors import TooManyTails
from memq.operations.base import Operation
from memq.policy.patterns import Pattern
from memq.wire.forms import OK

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall

    from memq.broker.session import Session
    from memq.broker.taps.taps import Copy
    from memq.commands.dialogue import Dialogue
    from memq.operations.base import Client
    from memq.wire.extensions import Tail as Command

#: How many there may be: so many hold about 20 MB when none of them reads.
MOST_TAILS = 16
#: Bytes of bodies that are sent of one turn; those behind are dropped.
MOST_BYTES = 1024 * 1024
#: Names of which a tail remembers whether they match.
_KNOWN = 4096
#: Seconds until it is told that copies were dropped, when no other follows.
_LATER = 1.0


class Tailing(Operation):
    """Done when the tail is to end; the reply behind it is its end."""

    def __init__(self, client: Client, ended: Callable[[], None]) -> None:
        """Remember what to call when the client is gone."""
        super().__init__(client)
        self._ended = ended

    def abandon(self) -> None:
        """End it: the client is gone."""
        self._ended()

    # Set by others to tell that a result is there, of which this one has none.
    @property
    def done(self) -> bool:
        """Whether nothing more is to be sent."""
        client = cast("Session", self.client)
        return client.gone or client.sendsNoMore or client.isStopping

    @done.setter
    def done(self, isDone: bool) -> None:
        """Do nothing."""


class Tail:
    """The reply to a tail."""

    def __init__(self, dialogue: Dialogue, command: Command) -> None:
        self._dialogue = dialogue
        self._pattern = Pattern(command.pattern)
        self._form = command.form
        self._known: dict[bytes, bool] = {}
        self._dropped = 0
        self._later: IDelayedCall | None = None

    def run(self) -> None:
        """Begin."""
        dialogue = self._dialogue
        taps = dialogue.host.broker.taps
        if len(taps.watching) >= MOST_TAILS:
            dialogue.refuse(TooManyTails(), self._form)
            return
        dialogue.answer(OK)
        taps.add(self)
        dialogue.expect(Tailing(dialogue.session, self._end), self._render)
        dialogue.connection.hangUp()
        # It has to be heard that the client is gone.
        dialogue.connection.transport.resumeProducing()

    def wants(self, queue: bytes) -> bool:
        """Return whether the name of a queue matches, and its user may read it."""
        wanted = self._known.get(queue)
        if wanted is None:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            wanted = self._known[queue] = self._pattern.matches(queue)
        # What its user may read can change meanwhile.
        rights = self._dialogue.rights
        return wanted and (rights is None or rights[queue] & READ > 0)

    def take(self, copies: list[Copy]) -> None:
        """Send copies, as many as may be sent now, and drop the others."""
        if not self._mayWrite:
            self._drop(len(copies))
            return
        pieces = self._pieces()
        left = MOST_BYTES
        sent = 0
        for copy in copies:
            left -= copy.size if copy.body is not None else 0
            if left < 0:
                break
            pieces.append(self._form.copy(*copy))
            sent += 1
        self._dialogue.replies.send(b"".join(pieces))
        if sent < len(copies):
            self._drop(len(copies) - sent)

    @property
    def _mayWrite(self) -> bool:
        """Whether all before it is sent, and the client reads."""
        dialogue = self._dialogue
        queue = dialogue.replies.queue
        if not queue or dialogue.session.blocked:
            return False
        tailing, render = queue[0]
        return render == self._render and not tailing.done

    def _pieces(self) -> list[bytes]:
        """Return what is to be told of those that were dropped."""
        dropped, self._dropped = self._dropped, 0
        return [self._form.dropped(dropped)] if dropped else []

    def _drop(self, count: int) -> None:
        self._dropped += count
        if self._later is None:
            self._later = self._dialogue.session.after(_LATER, self._tell)

    def _tell(self) -> None:
        self._later = None
        if not self._dropped:
            return
        if not self._mayWrite:
            self._drop(0)
            return
        # While it did not read, nothing was read from it.
        self._dialogue.connection.transport.resumeProducing()
        self._dialogue.replies.send(b"".join(self._pieces()))

    def _render(self, tailing: Operation) -> bytes:
        self._end()
        return b"".join([*self._pieces(), self._form.none])

    def _end(self) -> None:
        later, self._later = self._later, None
        if later is not None:
            later.cancel()
        self._dialogue.host.broker.taps.remove(self)


def tail(dialogue: Dialogue, command: Command) -> None:
    """Begin a tail."""
    Tail(dialogue, command).run()
