"""Workers that have several messages open, and end, extend or retry each by itself.

They are consumers, but for that; see :mod:`memq.test.support.load.consumers`.  The
queue's rule lets open reads go back after OPEN_TIMEOUT, so now and then a worker is too
late.  :class:`Leases` knows until when each worker has a message for sure, and when a
message that is to be tried later may come at the earliest.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from memq.test.support.load.consumers import (
    RISK,
    RISK_READING,
    Client,
    Consumer,
    Custody,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from testkit.servers import Server

#: Seconds of the rule, those that a touch asks for, and of a later try.
OPEN_TIMEOUT, TOUCHED, LATER = 0.2, 5, 1
#: The clocks of server and test are not one.
TOLERANCE = 0.05
#: Messages that a worker has open at most.
MOST = 5
#: What it does to one of them, how often, and what it asks for.
ACTS: dict[str, tuple[int, bytes]] = {
    "delete": (5, b"delete work/open=%d"),
    "swap": (3, b"gets work/close=%d/open/more"),
    "touch": (2, b"touch work/open=%%d %d" % TOUCHED),
    "abort": (1, b"get work/abort=%d"),
    "later": (1, b"get work/abort=%%d/delay=%d" % LATER),
}


class Leases(Custody):
    """The holder of each message, and for how long.

    :ivar deleted: how many were closed, by what was answered.
    :ivar later: how many are to be tried later, by what was answered.
    :ivar doubtful: how many of such commands were never answered.
    :ivar missed: how often somebody was too late.
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._now = now
        self._until: dict[int, float] = {}
        self._notBefore: dict[int, float] = {}
        self._holders: dict[int, object] = {}
        self.deleted = self.later = self.doubtful = self.missed = 0

    def lent(self, body: bytes, holder: object, asked: float) -> int:
        """Note that somebody has a message who asked for one at a time.

        An answer that is read when that time may be over says nothing, if others had
        the message since: theirs was read before.
        """
        now = self._now()
        number = int(body.split(b" ", 1)[0])
        others = (self.held, self.closed, self.unsure, self._notBefore)
        if now >= asked + OPEN_TIMEOUT and any(number in each for each in others):
            return number
        if number in self.held and now >= self._until[number]:
            self.back(number)
        if now < self._notBefore.pop(number, 0.0) - TOLERANCE:
            self.complaints.append(f"{number} came before it was due")
        self.given(body)
        self._holders[number] = holder
        self._until[number] = asked + OPEN_TIMEOUT
        return number

    def has(self, number: int, holder: object) -> bool:
        """Tell whether somebody is the last who was given a message."""
        return number in self.held and self._holders[number] is holder

    def extended(self, number: int, holder: object, asked: float) -> None:
        """Note that a touch was answered that was sent at a time: it is open there."""
        self.held.add(number)
        self._holders[number] = holder
        self._until[number] = asked + TOUCHED

    def retried(self, number: int, asked: float) -> None:
        """Note that a later try was answered that was asked for at a time."""
        self.later += 1
        self._notBefore[number] = asked + LATER

    def isClosed(self, number: int) -> None:
        """Note that a close was answered."""
        if number in self.closed:
            self.complaints.append(f"{number} was closed twice")
        super().isClosed(number)


class Worker(Consumer):
    """Opens up to MOST messages at a time; asks one thing after the other."""

    _custody: Leases

    def __init__(
        self, server: Server, custody: Leases, rng: Random, mayDie: bool
    ) -> None:
        #: Numbers of what is open in its queue, each with that of the message.
        self._open: dict[int, int] = {}
        self._act = "open"
        self._number = self._message = -1
        self._asked = 0.0
        super().__init__(server, custody, rng, mayDie)

    def _ask(self, options: bytes = b"") -> None:
        """Ask for the next thing; perhaps that is the last one."""
        line = self._choose()
        dies = self._mayDie and self._rng.random() < RISK
        if dies and self._rng.random() < 0.5:
            self._open[self._number] = self._message
            self._open.pop(-1, None)
            self._act = "open"
            line = line[: self._rng.randrange(len(line) - 1)]
        elif self._act in ("abort", "later"):
            self._giveUp(self._message)
        self._asked = monotonic()
        self.socket.sendall(line)
        if dies:
            self._die()

    def _choose(self) -> bytes:
        """Decide what to do, and return the line."""
        self._number = self._message = -1
        self._act = "open"
        if len(self._open) < MOST and (not self._open or self._rng.random() < 0.5):
            return b"gets work/open/more/t=100\r\n"
        weights = [weight for weight, _ in ACTS.values()]
        [self._act] = self._rng.choices(list(ACTS), weights)
        self._number = self._rng.choice(list(self._open))
        self._message = self._open.pop(self._number)
        return ACTS[self._act][1] % self._number + b"\r\n"

    def _giveUp(self, message: int) -> None:
        """Note that somebody else may have a message now."""
        if self._custody.has(message, self):
            self._custody.back(message)

    def leave(self) -> None:
        """Disconnect."""
        custody = self._custody
        for message in self._open.values():
            self._giveUp(message)
        if self._act in ("delete", "swap", "later"):
            custody.doubtful += 1
        if self._act in ("delete", "swap") and custody.has(self._message, self):
            custody.isUnsure(self._message)
        self._giveUp(self._message)
        Client.leave(self)

    def received(self) -> None:
        """Take what has come; when that is the answer, go on."""
        self.receive()
        if self._mayDie and self._rng.random() < RISK_READING:
            self._die()
            return
        ends = (b"END\r\n", b"DELETED\r\n", b"NOT_FOUND\r\n", b"TOUCHED\r\n")
        if self.data.endswith(ends) or self.data.startswith(b"CLIENT_ERROR"):
            reply, self.data = self.data, b""
            self._take(reply)
            self._ask()

    def _take(self, reply: bytes) -> None:
        """Note what an answer says, of what was asked for and of a new message."""
        custody, message = self._custody, self._message
        if reply.startswith((b"NOT_FOUND", b"CLIENT_ERROR not open")):
            custody.missed += 1
            self._giveUp(message)
            return
        assert not reply.startswith(b"CLIENT_ERROR"), reply
        if self._act in ("delete", "swap"):
            custody.deleted += 1
            custody.isClosed(message)
        elif self._act == "touch":
            custody.extended(message, self, self._asked)
            self._open[self._number] = message
        elif self._act == "later":
            custody.retried(message, self._asked)
        if reply.startswith(b"VALUE"):
            head, _, body = reply.removesuffix(b"\r\nEND\r\n").partition(b"\r\n")
            number = int(head.split(b" ")[4])
            self._open[number] = custody.lent(body, self, self._asked)
