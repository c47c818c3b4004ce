"""Login: connections whose clients have to be known before they are served.

A listener, a uid or a certificate tell at once who a client is.  If none does, a
:class:`LoginReceiver` stands in the place of the receiver of commands until the client
has said it, in text or in packets as its first byte has it; then that one takes over,
with all that came behind.

While an answer is under way nothing is read.  So of a client that is not known a line
and the largest body are held, and what came in one read behind these; and a client that
takes too long is cut off.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from twisted.internet.defer import CancelledError
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger

from memq.access.admission import Entry
from memq.access.authenticator import Tries
from memq.connection.connection import REQUEST_BYTE, Connection
from memq.connection.packets import PacketReceiver
from memq.connection.receiver import CommandReceiver, CommandSink
from memq.errors import QueueError
from memq.wire.auth.ascii import AuthReader, Credentials
from memq.wire.auth.packets import PacketReader
from memq.wire.auth.refusals import AuthFailed, Unauthenticated
from memq.wire.auth.sasl import Begun, Listed
from memq.wire.foreign import begins
from memq.wire.forms import SETS

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from memq.access.admission import AccessControl
    from memq.access.rights import Rights
    from memq.access.secrets import PasswordHash, TokenHash
    from memq.access.users import User
    from memq.wire.auth.packets import Said
    from memq.wire.auth.sasl import SASLForm
    from memq.wire.forms import Form

#: Seconds in which a client has to say who it is.
LOGIN_SECONDS = 10.0
#: Seconds after which that is looked at again, where the server has still to answer.
AGAIN = 1.0

_log = Logger()


class GuardedSink(CommandSink, Protocol):
    """Carries out those commands of a client for which it has the rights."""

    def changeRights(self, rights: Rights) -> None:
        """Take the rights that the client has from now on."""

    def answer(self, reply: bytes) -> None:
        """Answer with this, after all replies before it."""


class LoginConnection(Connection):
    """Serve one client once it is known who it is."""

    #: Ends a client that says too little.
    _limit: IDelayedCall | None = None
    #: Whether the client sends no more, which counts once it is answered.
    _sendsNoMore = False

    @property
    def commands(self) -> GuardedSink:
        """Return what carries out commands."""
        return cast("GuardedSink", self._commands)

    def connectionMade(self) -> None:
        """Look at what the transport tells of the client."""
        super().connectionMade()
        host, admission = self.host, self.admission
        entry = host.access.entryOf(admission, self.peer, self.transport)
        if entry is not None:
            self.enter(entry)
        elif admission.asksWord:
            self._limit = host.broker.clock.callLater(LOGIN_SECONDS, self._expire)
            host.strangers.add(self)
        else:
            self.commands.refuse(Unauthenticated())
            self.finish()

    def _expire(self) -> None:
        """Cut the client off in its turn: many may have come together.

        One that has said something is not late while the server has still to answer.
        """
        receiver = self.receiver
        if isinstance(receiver, LoginReceiver) and receiver.isDue:
            self._limit = self.host.broker.clock.callLater(AGAIN, self._expire)
        else:
            self.host.strangers.hear(self.cutOff)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End."""
        self._isKnown()
        super().connectionLost(reason)

    def readConnectionLost(self) -> None:
        """Answer a login that is under way, and what came behind it, and close."""
        receiver = self.receiver
        self._sendsNoMore = isinstance(receiver, LoginReceiver) and receiver.isAsked
        if not self._sendsNoMore:
            super().readConnectionLost()

    def answered(self) -> None:
        """Send the answer to a login, and go on."""
        self.deliver()
        if self._sendsNoMore:
            self.readConnectionLost()

    def _isKnown(self) -> None:
        """Wait for no word any more."""
        limit, self._limit = self._limit, None
        if limit is not None:
            self.host.strangers.remove(self)
            self.host.strangers.leave(self.cutOff)
            if limit.active():
                limit.cancel()

    def enter(self, entry: Entry) -> None:
        """Serve a client as a user, from now on."""
        self._isKnown()
        isNew, self.entry = self.entry is None, entry
        if isNew and self.host.traces:
            _log.info("{client} is let in", **self.told)
        self.commands.changeRights(entry.user.rights)

    def admitAgain(self, access: AccessControl) -> None:
        """Give the client the rights that its user has by now, or cut it off."""
        if self.entry is None:
            return
        entry = self.entry.again(access.users)
        if entry is None:
            self.cutOff()
        else:
            self.enter(entry)

    def dataReceived(self, data: bytes) -> None:
        """Take the first bytes, which tell how the client will say who it is."""
        if self.entry is not None or self.receiver.closing:
            super().dataReceived(data)
            return
        isPacket = data.startswith(REQUEST_BYTE)
        other = None if isPacket else begins(data)
        if other is not None:
            self.commands.execute(other)
            self.deliver()
            return
        receiver = (PacketLogin if isPacket else TextLogin)(self)
        receiver.makeConnection(self.transport)
        self._listenBy(receiver)
        receiver.dataReceived(data)

    def succeed(self, receiver: PacketReceiver | CommandReceiver, rest: bytes) -> None:
        """Let a receiver of commands take over, with what came behind."""
        receiver.makeConnection(self.transport)
        # It goes on from there when the answer to the login is sent.
        receiver.paused = True
        self._statistics.bytesRead -= len(rest)
        receiver.dataReceived(rest)
        self._listenBy(receiver)

    def _listenBy(self, receiver: Any) -> None:
        self.receiver = receiver
        self.dataReceived = receiver.dataReceived  # type: ignore[method-assign]


class Reader(Protocol):
    """Makes of bytes what a client says; see AuthReader."""

    def feed(self, data: bytes) -> None:
        """Take bytes."""

    def next(self) -> Any:
        """Return what the client says next, None when more bytes have to come."""

    def rest(self) -> bytes:
        """Return what came behind, and forget it."""


class LoginReceiver(ABC):
    """Take what a client says until it has said who it is."""

    #: What comes in its place.
    successor: ClassVar[type[CommandReceiver] | type[PacketReceiver]]
    reader: Reader
    #: There is no body of a command.
    command = None
    missing = 0

    def __init__(self, connection: LoginConnection) -> None:
        """Begin."""
        self.connection = connection
        self.commands = connection.commands
        self.paused = False
        self.closing = False
        self.heard = True
        self._tries = Tries()
        #: Whether it is heard in a later turn.
        self._isWaiting = False
        #: What the authenticator will say.
        self._answer: Deferred[User] | None = None

    @property
    @abstractmethod
    def form(self) -> Form:
        """Return the form of the reply to what the client has said last."""

    @abstractmethod
    def react(self, said: Any) -> None:
        """Answer what a client says but for who it is."""

    @property
    def isAsked(self) -> bool:
        """Whether an answer is under way."""
        return self._answer is not None

    @property
    def isDue(self) -> bool:
        """Whether it is the server's turn to hear or to answer, not the client's."""
        return self._isWaiting or self.isAsked

    # A receiver.

    def makeConnection(self, transport: Any) -> None:
        """Take the transport, which is paused and resumed."""
        self.transport = transport

    def dataReceived(self, data: bytes) -> None:
        """Take what came."""
        self.connection.host.statistics.bytesRead += len(data)
        self.heard = True
        if self.closing:
            return
        self.reader.feed(data)
        if not self.paused and not self.connection.host.strangers.hear(self._hear):
            self._isWaiting = True
            self.pauseProducing()

    def _hear(self) -> None:
        """Take what came, now that it is its turn."""
        wasWaiting, self._isWaiting = self._isWaiting, False
        if wasWaiting:
            self.resumeProducing()
        else:
            self._take()

    def pauseProducing(self) -> None:
        """Take no more for now, and read no more."""
        self.paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Go on, unless an answer is under way, or it waits for its turn."""
        if self._answer is None and not self._isWaiting:
            self.paused = False
            self.transport.resumeProducing()
            self._take()

    def close(self) -> None:
        """Take no more, and forget what came."""
        self._forget()
        if not self.paused:
            self.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget what came."""
        self._forget()

    def _forget(self) -> None:
        self.closing = True
        self.reader.rest()
        self.connection.host.strangers.leave(self._hear)
        if self._answer is not None:
            self._answer.cancel()

    # What a client says.

    def _take(self) -> None:
        authenticator = self.connection.host.access.authenticator
        while not self.paused and not self.closing:
            said = self.reader.next()
            if said is None:
                break
            if isinstance(said, Credentials):
                self._try(said)
            elif isinstance(said, AuthFailed):
                peer = self.connection.peer
                self._await(authenticator.ofNobody(peer, self._tries), None)
            else:
                self.react(said)
        self.connection.deliver()

    def _try(self, said: Credentials) -> None:
        """Find out whether the client is who it says."""
        access, peer = self.connection.host.access, self.connection.peer
        answer = access.authenticator.ofCredentials(peer, self._tries, said)
        user = access.users.names.get(said.user)
        # So that what was said is not kept until it is answered.
        self._await(answer, None if user is None else user.proofOf(said.secret))

    def _await(
        self, answer: Deferred[User], proof: TokenHash | PasswordHash | None
    ) -> None:
        """Wait for an answer, which is there by now or comes later."""
        self._answer = answer
        answer.addCallbacks(self._cbKnown, self._ebRefused, callbackArgs=(proof,))
        answer.addErrback(self._ebBug)
        if self._answer is not None:
            self.pauseProducing()

    def _cbKnown(self, user: User, proof: TokenHash | PasswordHash | None) -> None:
        self._answer = None
        self.closing = True
        connection, host = self.connection, self.connection.host
        self.commands.answer(self.form.done)
        connection.enter(Entry(user, proof=proof))
        receiver = self.successor(self.commands, host.maxBody, host.statistics)
        connection.succeed(receiver, self.reader.rest())
        connection.answered()

    def _ebRefused(self, failure: Failure) -> None:
        self._answer = None
        # It is cancelled when the client has gone.
        if failure.trap(AuthFailed, CancelledError) is AuthFailed:
            error: Any = failure.value
            self.commands.refuse(error, self.form)
            self.connection.answered()

    def _ebBug(self, failure: Failure) -> None:
        _log.failure("A client could not be told whether it may come in", failure)
        self.connection.cutOff()


class TextLogin(LoginReceiver):
    """Authentication in text."""

    successor = CommandReceiver
    form = SETS

    def __init__(self, connection: LoginConnection) -> None:
        """Begin."""
        super().__init__(connection)
        self.reader = AuthReader()

    def react(self, said: QueueError) -> None:
        """Refuse anything else; a line that has no end closes without a word."""
        if said.reply:
            self.commands.refuse(said)
        else:
            self.connection.finish()


class PacketLogin(LoginReceiver):
    """Authentication in packets."""

    successor = PacketReceiver
    reader: PacketReader

    def __init__(self, connection: LoginConnection) -> None:
        """Begin."""
        super().__init__(connection)
        self.reader = PacketReader()

    @property
    def form(self) -> SASLForm:
        """Return the form of the response to the last packet."""
        return self.reader.form

    def react(self, said: Said) -> None:
        """Answer what a client may ask, refuse anything else."""
        if isinstance(said, Begun):
            self.commands.answer(self.form.begun)
        elif isinstance(said, Listed):
            self.commands.answer(self.form.done)
        elif isinstance(said, QueueError):
            self.commands.refuse(said, self.form)
        else:
            assert not isinstance(said, Credentials)
            self.commands.execute(said)
