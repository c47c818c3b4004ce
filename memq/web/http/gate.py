"""Gate: who asks, where users are known, and whether somebody may ask for a route.

Without a user, nobody is asked.  As soon as there is one, each request says who asks:

- by the header ``Authorization``: a name with a password or a token (Basic), or a token
  alone (Bearer), which may be that of a session;
- by a client's certificate, where the listener has TLS, if there is no such header.

A failure is answered half a second after it came, and the third one of a connection
ends that.  No more than WAITING requests wait for an answer, half of them of one
address; one more is refused before anything is compared, so that nobody tries secrets
faster.  What was right is kept (:mod:`memq.web.http.proven`): so a page costs scrypt
once, and who is known by that is let in however many wait.

A session is a token that is made for somebody who has said who it is: so a page keeps
no password.  It ends after SESSION_SECONDS, with the server, and when its user is no
more or gets other secrets.  It is no cookie, for these are sent to all ports of a host.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred

from memq.access.secrets import newToken
from memq.web.http.authorization import Token, said
from memq.web.http.inputs import Refused
from memq.web.http.proven import Proven
from memq.wire.auth.refusals import AuthFailed

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from memq.access.authenticator import Authenticator
    from memq.access.users import User

    Who = User | None

#: Requests that wait to hear whether they were right.
WAITING = 16
#: Credentials of a user that are kept, and for how long; and sessions.
KEPT, KEPT_SECONDS = 16, 3600.0
SESSIONS, SESSION_SECONDS = 64, 12 * 3600.0

#: By this header the page says that it asks by itself: no browser is to ask a person.
PAGE = b"x-requested-with"
_BASIC = 'Basic realm="memq", charset="UTF-8"'
_BEARER = 'Bearer realm="memq"'


def peerOf(request: Any) -> str:
    """Return what the log calls whoever asks."""
    address = request.getClientAddress()
    host = getattr(address, "host", None)
    return "a local client" if host is None else f"{host}:{address.port}"


class Gate:
    """Find out who asks.

    :ivar users: those that there are.
    """

    def __init__(self, clock: IReactorTime, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._proven = Proven(clock.seconds, KEPT, KEPT_SECONDS)
        self._sessions = Proven(clock.seconds, SESSIONS, SESSION_SECONDS)
        #: Requests that wait, by their addresses.
        self._waiting: Counter[str] = Counter()

    @property
    def isOpen(self) -> bool:
        """Whether nobody is asked."""
        return not self._authenticator.users.names

    def who(self, request: Any) -> Who | Deferred[Who]:
        """Return who asks; None where nobody is asked.

        :raise Refused: when that is not said, as the Deferred when it is not true.
        """
        if self.isOpen:
            return None
        users = self._authenticator.users
        values = request.requestHeaders.getRawHeaders(b"authorization", [])
        if not values:
            user = users.ofCertificate(request.channel.peerNames)
            if user is None:
                raise _unknown(request, "say who you are")
            return user
        value: bytes = b",".join(values)
        for kept in (self._proven, self._sessions):
            user = kept.find(users, value)
            if user is not None:
                return user
        return self._compared(request, value)

    def _compared(self, request: Any, value: bytes) -> Who | Deferred[Who]:
        """Return who has said this, once it is compared."""
        peer, tries = peerOf(request), request.channel.tries
        host = peer.rpartition(":")[0]
        if self._waiting.total() >= WAITING or self._waiting[host] >= WAITING // 2:
            raise Refused(503, "too many wait to log in", Retry_After="1")
        credentials = said(value)
        answer: Any
        if credentials is None:
            answer = self._authenticator.ofNobody(peer, tries)
        elif isinstance(credentials, Token):
            answer = self._authenticator.ofToken(peer, tries, credentials)
        else:
            answer = self._authenticator.ofCredentials(peer, tries, credentials)
        answer.addCallbacks(
            *(self._cbRight, self._ebWrong),
            callbackArgs=(value,),
            errbackArgs=(request,),
        )
        return answer if answer.called else self._wait(request, host, answer)

    def _wait(self, request: Any, host: str, answer: Deferred[Any]) -> Deferred[Who]:
        """Return what fires with an answer; never, when whoever asks is gone."""
        self._waiting[host] += 1
        told: Deferred[Who] = Deferred()
        waiting: list[Deferred[Any]] = [answer]

        def over(result: Any) -> None:
            self._waiting[host] -= 1
            if not self._waiting[host]:
                del self._waiting[host]
            if waiting:
                waiting.clear()
                told.callback(result)

        def gone(failure: Failure) -> None:
            if waiting:
                waiting.clear()
                answer.cancel()

        request.notifyFinish().addErrback(gone)
        answer.addBoth(over)
        return told

    def _cbRight(self, user: User, value: bytes) -> User:
        self._proven.note(self._authenticator.users, user, value)
        return user

    def _ebWrong(self, failure: Failure, request: Any) -> None:
        failure.trap(AuthFailed, CancelledError)
        if getattr(failure.value, "closes", False):
            # The end of the reply is that of the connection.
            request.channel.persistent = False
        raise _unknown(request, "the user or the secret is wrong")

    def begin(self, request: Any, user: User) -> str:
        """Return the token of a new session.

        :raise Refused: when a session asks for it: whoever found its token would have
            one after the other.
        """
        users = self._authenticator.users
        if self._sessions.find(users, _sent(request)) is not None:
            raise Refused(403, "a session begins with a secret, not with a session")
        token = newToken()
        self._sessions.note(users, user, b"Bearer %b" % token.encode())
        return token

    def end(self, request: Any) -> None:
        """End the session that a request is of, if it is of one."""
        self._sessions.forget(_sent(request))


def _sent(request: Any) -> bytes:
    values: list[bytes] = request.requestHeaders.getRawHeaders(b"authorization", [])
    return b",".join(values)


def _unknown(request: Any, words: str) -> Refused:
    challenge = _BEARER if request.requestHeaders.hasHeader(PAGE) else _BASIC
    return Refused(401, words, WWW_Authenticate=challenge)
