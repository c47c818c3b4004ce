"""Consumers that die: a hundred of them open and close messages, and a fifth is killed.

They live in one thread of the test, so that what they do has an order: who is gone was
gone before the next one asked.  :class:`Custody` knows who has which message, and
complains when a message has two readers at a time, or comes again after its close was
answered; in the end it knows what is missing.

A close that was sent and not answered, since its client or the server was killed, may
have happened or not.
"""

from __future__ import annotations

from selectors import EVENT_READ, DefaultSelector
from signal import SIGKILL
from time import monotonic
from typing import TYPE_CHECKING

from testkit.servers import PATIENCE
from testkit.wire import cut, sets

if TYPE_CHECKING:
    from random import Random

    from testkit.servers import Server

CONSUMERS = 100
#: Every so many-th one is killed, before this part of its commands, or within that
#: part of the answers.
FIFTH, RISK, RISK_READING = 5, 0.2, 0.05
#: Options of the get that follows an open one; all but the last close its message.
CHOICES = (b"close", b"close/open/t=100", b"close/open", b"abort")
WEIGHTS = (4, 3, 2, 1)
#: Messages that are sent at once, and that wait at most: few enough that some
#: consumers wait as well.
BATCH, BACKLOG = 50, 200
#: Every so many-th message has so many bytes, which go in parts.
LARGE, LARGE_SIZE = 250, 70_000


def makeBody(number: int) -> bytes:
    """Return the body of a message."""
    body = b"%d " % number
    return body if number % LARGE else body * (LARGE_SIZE // len(body))


class Custody:
    """The holder of each message; messages are numbers.

    :ivar complaints: what the server did wrong, in words.
    :ivar waiting: what was STORED and has to come, or to be closed by who has it.
    :ivar held: what somebody has open.
    :ivar closed: what was closed, and that was answered.
    :ivar unsure: what was being closed by somebody who is gone.
    """

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.waiting: set[int] = set()
        self.held: set[int] = set()
        self.closed: set[int] = set()
        self.unsure: set[int] = set()

    def stored(self, number: int) -> None:
        """Note that a set was answered STORED; the message may be gone by now."""
        if number not in self.closed and number not in self.unsure:
            self.waiting.add(number)

    def given(self, body: bytes) -> int:
        """Note that somebody has a message now, and return its number."""
        number = int(body.split(b" ", 1)[0])
        if body != makeBody(number):
            self.complaints.append(
                f"{number} has {len(body)} bytes that are not its own"
            )
        if number in self.held:
            self.complaints.append(f"{number} has two readers")
        if number in self.closed:
            self.complaints.append(f"{number} came after it was closed")
        if number in self.unsure:
            self.unsure.remove(number)
            self.waiting.add(number)
        self.held.add(number)
        return number

    def back(self, number: int) -> None:
        """Note that a message is given back."""
        self.held.discard(number)

    def isClosed(self, number: int) -> None:
        """Note that a close was answered."""
        self.held.discard(number)
        self.waiting.discard(number)
        self.closed.add(number)

    def isUnsure(self, number: int) -> None:
        """Note that who closes a message is gone before the answer."""
        self.held.discard(number)
        self.waiting.discard(number)
        self.unsure.add(number)


class Client:
    """A connection that is read from when something comes.

    :ivar isDead: whether it was killed.
    """

    def __init__(self, server: Server) -> None:
        self.socket = server.connect()
        self.data = b""
        self.isDead = False

    def leave(self) -> None:
        """Disconnect."""
        self.socket.close()

    def receive(self) -> None:
        """Take what has come."""
        data = self.socket.recv(65536)
        assert data, "the server has closed the connection"
        self.data += data


class Producer(Client):
    """Sets messages, a batch at a time.

    :ivar unanswered: those of the batch that are not STORED yet.
    """

    def __init__(self, server: Server, custody: Custody) -> None:
        super().__init__(server)
        self._custody = custody
        self.unanswered: list[int] = []

    def send(self, numbers: range) -> None:
        """Set a batch."""
        self.unanswered = list(numbers)
        self.socket.sendall(sets(b"work", *map(makeBody, numbers)))

    def received(self) -> None:
        """Note what is STORED."""
        self.receive()
        *lines, self.data = self.data.split(b"\r\n")
        for line in lines:
            assert line == b"STORED", line
            self._custody.stored(self.unanswered.pop(0))


class Consumer(Client):
    """Opens messages, and closes them or gives them back."""

    def __init__(
        self, server: Server, custody: Custody, rng: Random, mayDie: bool
    ) -> None:
        super().__init__(server)
        self._custody = custody
        self._rng = rng
        self._mayDie = mayDie
        self._has: int | None = None
        self._closes: int | None = None
        self._ask(b"open/t=100")

    def _ask(self, options: bytes) -> None:
        command = b"get work/%b\r\n" % options
        if self._mayDie and self._rng.random() < RISK:
            if self._rng.random() < 0.5:
                command = command[: self._rng.randrange(len(command))]
            else:
                self._note(options)
            self.socket.sendall(command)
            self._die()
            return
        self._note(options)
        self.socket.sendall(command)

    def _note(self, options: bytes) -> None:
        """Note that something is asked for."""
        number = self._has
        if number is not None:
            self._has = None
            if options == b"abort":
                self._custody.back(number)
            else:
                self._closes = number

    def _die(self) -> None:
        """End without a word, or with a reset."""
        self.isDead = True
        if self._rng.random() < 0.5:
            cut(self.socket)
        self.leave()

    def leave(self) -> None:
        """Disconnect."""
        if self._has is not None:
            self._custody.back(self._has)
        if self._closes is not None:
            self._custody.isUnsure(self._closes)
        super().leave()

    def received(self) -> None:
        """Take what has come; when that is the answer, go on."""
        self.receive()
        if self._mayDie and self._rng.random() < RISK_READING:
            self._die()
            return
        # Bodies are numbers and blanks.
        if self.data.endswith(b"END\r\n"):
            _, _, body = self.data.removesuffix(b"\r\nEND\r\n").partition(b"\r\n")
            self._answered(body or None)

    def _answered(self, body: bytes | None) -> None:
        self.data = b""
        if self._closes is not None:
            self._custody.isClosed(self._closes)
            self._closes = None
        if body is None:
            self._ask(b"open/t=100")
            return
        self._has = self._custody.given(body)
        [options] = self._rng.choices(CHOICES, WEIGHTS)
        self._ask(options)


class Work:
    """A server, its producer and its consumers.

    :ivar custody: knows who has which message.
    :ivar deaths: how many consumers were killed.
    :ivar rest: how many messages were left when all had ended.
    """

    def __init__(
        self,
        server: Server,
        rng: Random,
        patience: float = PATIENCE,
        kind: type[Consumer] = Consumer,
        custody: Custody | None = None,
    ) -> None:
        """Take a server that runs, and has no queue called work.

        :param patience: seconds after which nothing will come any more.
        :param kind: of the consumers.
        :param custody: what they tell; one of their kind.
        """
        self._server = server
        self._patience = patience
        self._rng = rng
        self._kind = kind
        self.custody = custody or Custody()
        self.deaths = self.rest = 0
        self._messages = self._sent = 0

    def run(self, messages: int, kills: int = 0) -> None:
        """Go on until all messages are closed, or nothing goes on any more.

        :param kills: how often the server is killed meanwhile.
        """
        self._messages = messages
        # A kill may cost a batch.
        marks = self._rng.sample(range(messages - (kills + 1) * BATCH), kills)
        for mark in (*sorted(marks), messages):
            with DefaultSelector() as selector:
                self._start(selector)
                self._work(selector, mark)
                if mark < messages:
                    self._server.stop(SIGKILL)
                for key in selector.get_map().values():
                    key.data.leave()
            if mark < messages:
                self._server.start()
        self._takeRest()
        lost = sorted(self.custody.waiting)[:10]
        self.custody.complaints += [f"{number} is lost" for number in lost]

    def _start(self, selector: DefaultSelector) -> None:
        self._producer = Producer(self._server, self.custody)
        selector.register(self._producer.socket, EVENT_READ, self._producer)
        for number in range(CONSUMERS):
            self._employ(selector, number % FIFTH == 0)

    def _employ(self, selector: DefaultSelector, mayDie: bool) -> None:
        """Let a consumer begin, and another one for each that is killed at once."""
        while True:
            consumer = self._kind(self._server, self.custody, self._rng, mayDie)
            if not consumer.isDead:
                selector.register(consumer.socket, EVENT_READ, consumer)
                return
            self.deaths += 1

    def _work(self, selector: DefaultSelector, mark: int) -> None:
        """Go on until so many messages are closed, the last ones included."""
        custody, producer = self.custody, self._producer
        done, since = -1, monotonic()
        while not custody.complaints and monotonic() - since < self._patience:
            now = len(custody.closed) + len(custody.unsure)
            if now != done:
                done, since = now, monotonic()
            if not producer.unanswered and len(custody.waiting) < BACKLOG:
                first = self._sent
                self._sent = min(first + BATCH, self._messages)
                if first < self._sent:
                    producer.send(range(first, self._sent))
                elif not custody.waiting:
                    return
            if mark <= done < self._messages and mark < self._messages:
                return
            for key, _ in selector.select(PATIENCE):
                client = key.data
                client.received()
                if client.isDead:
                    selector.unregister(key.fileobj)
                    self.deaths += 1
                    self._employ(selector, True)

    def _takeRest(self) -> None:
        """Set one more, and take what is left: that, and what was not closed."""
        self._server.put(b"work", makeBody(self._messages))
        for body in self._server.take(b"work"):
            self.custody.isClosed(self.custody.given(body))
            self.rest += 1
