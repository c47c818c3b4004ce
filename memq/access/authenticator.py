"""The authenticator: who a client is, by what it shows or says.

A listener, a uid or a certificate tell at once.  A secret is compared with the tokens
of the user first.  If that fails and anybody has a password, scrypt runs once in a
thread, whether the user has one, or exists at all: so the time tells nothing.  One runs
at a time, and few wait for it; it is no matter to others how many clients try.

A success is answered at once, a failure half a second after it was said, and the third
one of a connection closes that.  What was said is compared and forgotten.  Invariant:
no log line, figure or error has anything of it; a log line names the user if there is
one of that name.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from memq.access.secrets import PasswordHash
from memq.access.users import encoded
from memq.display import shownText
from memq.ratelimit import LOG_INTERVAL, EachTurn, Rarely
from memq.wire.auth.refusals import AuthFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from memq.access.users import User, Users
    from memq.wire.auth.ascii import Credentials

    #: Runs a function in a thread, with what it is called with.
    Defer = Callable[[Callable[[bytes], bool], bytes], Deferred[bool]]

#: Seconds from what was said to the answer that it is wrong.
DELAY = 0.5
#: Failures of a connection, with which it is closed.
MOST_FAILURES = 3
#: Failures that are told in a turn of the reactor.
TOLD = 16
#: Attempts that wait for a thread: no more than four seconds of work.
MOST_WAITING = 16

#: What can come of an attempt.  BUSY: too many waited, so that nothing was compared.
SUCCESS, FAILURE, BUSY = "success", "failure", "busy"
RESULTS = (SUCCESS, FAILURE, BUSY)


class Tries:
    """The failures of one connection."""

    __slots__ = ("failures",)

    def __init__(self) -> None:
        self.failures = 0


class _Job(NamedTuple):
    """A password that waits for a thread."""

    hash: PasswordHash
    secret: bytes
    attempt: _Attempt
    peer: str


class _Attempt:
    """One attempt, from what was said to its answer.

    :ivar answer: fires with the user, or fails with AuthFailed; to cancel it ends the
        attempt, which counts all the same.
    """

    def __init__(
        self, clock: IReactorTime, turns: EachTurn, tries: Tries, user: User | None
    ) -> None:
        self._clock = clock
        self._turns = turns
        self._tries = tries
        self._answerAt = clock.seconds() + DELAY
        self._call: IDelayedCall | None = None
        self.user = user
        self.isGone = False
        self.answer: Deferred[User] = Deferred(self._cancel)

    def _cancel(self, _: Deferred[User]) -> None:
        self.isGone = True
        self._take()
        self._turns.leave(self._tell)
        if self._call is not None:
            self._call.cancel()

    def _take(self) -> Deferred[User]:
        """Return the answer to be given, and forget it: older Deferreds know this."""
        answer = self.answer
        del self.answer
        return answer

    def succeed(self, user: User) -> None:
        if not self.isGone:
            self._take().callback(user)

    def fail(self) -> None:
        """Count a failure, and tell it when it is time to."""
        self._tries.failures += 1
        if self.isGone:
            return
        self._error = AuthFailed(closes=self._tries.failures >= MOST_FAILURES)
        wait = max(self._answerAt - self._clock.seconds(), 0)
        self._call = self._clock.callLater(wait, self._wait)

    def _wait(self) -> None:
        self._call = None
        self._turns.call(self._tell)

    def _tell(self) -> None:
        self._take().errback(self._error)


class Authenticator:
    """Finds out who clients are.

    :ivar users: those that there are; others when they were read again.
    :ivar results: how many attempts came to what, by RESULTS.
    """

    _log = Logger()

    def __init__(self, users: Users, clock: IReactorTime, defer: Defer) -> None:
        """Begin.

        :param defer: ``deferToThread``, or what does as that.
        """
        self.users = users
        self.results = dict.fromkeys(RESULTS, 0)
        self._clock = clock
        self._defer = defer
        self._turns = EachTurn(clock, TOLD)
        self._rarely = Rarely(clock.seconds)
        self._decoy = PasswordHash.decoy()
        self._waiting: deque[_Job] = deque()
        self._isRunning = False

    @property
    def attempts(self) -> int:
        """Return how many attempts there were (``auth_cmds``)."""
        return sum(self.results.values())

    @property
    def failures(self) -> int:
        """Return how many of them failed (``auth_errors``)."""
        return self.attempts - self.results[SUCCESS]

    def counts(self) -> tuple[int, int]:
        """Return how many attempts there were, and how many of them failed."""
        return self.attempts, self.failures

    def named(self, name: str) -> User | None:
        """Return the user that a listener is; that is no attempt."""
        return self.users.names.get(encoded(name))

    def noteShown(self, peer: str, isKnown: bool) -> None:
        """Count somebody who showed who it is: by a uid, or by a certificate.

        :param peer: what the log calls the client.
        """
        self._count(SUCCESS if isKnown else FAILURE, peer)

    def ofToken(self, peer: str, tries: Tries, token: bytes) -> Deferred[User]:
        """Find out whose token this is, where only that is said."""
        attempt = _Attempt(self._clock, self._turns, tries, self.users.ofToken(token))
        answer = attempt.answer
        self._end(attempt, peer, attempt.user is not None)
        return answer

    def ofNobody(self, peer: str, tries: Tries) -> Deferred[User]:
        """Refuse what cannot be compared with anything, as a failure."""
        attempt = _Attempt(self._clock, self._turns, tries, None)
        answer = attempt.answer
        self._end(attempt, peer, False)
        return answer

    def ofCredentials(
        self, peer: str, tries: Tries, said: Credentials
    ) -> Deferred[User]:
        """Find out whether a client is who it says.

        :param tries: those of its connection, which says nothing more until then.
        :return: fires with the user, or fails with AuthFailed; to be cancelled when the
            client has gone.
        """
        user = self.users.names.get(said.user)
        attempt = _Attempt(self._clock, self._turns, tries, user)
        answer = attempt.answer
        if user is not None and user.hasSecret(said.secret):
            self._end(attempt, peer, True)
        elif not self.users.hasPasswords:
            self._end(attempt, peer, False)
        elif len(self._waiting) >= MOST_WAITING:
            self._count(BUSY, peer)
            attempt.fail()
        else:
            self._await(attempt, peer, said.secret)
        return answer

    def _await(self, attempt: _Attempt, peer: str, secret: bytes) -> None:
        """Let a password be compared in its turn."""
        user = attempt.user
        hash_ = self._decoy if user is None else user.password or self._decoy
        self._waiting.append(_Job(hash_, secret, attempt, peer))
        self._next()

    def _next(self) -> None:
        """Run what has waited longest, and whose client is still there."""
        while self._waiting and not self._isRunning:
            hash_, secret, attempt, peer = self._waiting.popleft()
            if attempt.isGone:
                self._end(attempt, peer, False)
                continue
            self._isRunning = True
            done = self._defer(hash_.matches, secret)
            done.addErrback(self._ebBroken)
            done.addCallback(self._cbCompared, attempt, peer)
            done.addErrback(self._ebBug)

    def _cbCompared(self, matches: bool, attempt: _Attempt, peer: str) -> None:
        self._isRunning = False
        self._end(attempt, peer, matches and self._isCurrent(attempt))
        self._next()

    def _isCurrent(self, attempt: _Attempt) -> bool:
        """Return whether the password is still the user's, as the user is by now."""
        before = attempt.user
        if before is None or before.password is None:
            # It was a decoy.
            return False
        attempt.user = now = self.users.names.get(encoded(before.name))
        return now is not None and str(now.password) == str(before.password)

    def _ebBroken(self, failure: Failure) -> bool:
        """Take a password for wrong that could not be compared."""
        why = failure.getErrorMessage()
        self._log.error("A password could not be compared: {why}", why=why)
        return False

    def _ebBug(self, failure: Failure) -> None:
        self._log.failure("An authentication could not be answered", failure)

    def _end(self, attempt: _Attempt, peer: str, isRight: bool) -> None:
        user = attempt.user
        if isRight and user is not None:
            self._count(SUCCESS, peer)
            attempt.succeed(user)
            return
        self._count(FAILURE, peer, user)
        attempt.fail()

    def _count(self, result: str, peer: str, user: User | None = None) -> None:
        self.results[result] += 1
        count = 0 if result == SUCCESS else self._rarely.count(result)
        if not count:
            return
        words = {
            FAILURE: "failed authentications: {count}, the last one of {peer}{as_}",
            BUSY: "authentications refused unseen, since too many wait: {count}",
        }[result]
        as_ = "" if user is None else f" as user {shownText(user.name)}"
        more = f"; no more than a line in {LOG_INTERVAL:.0f} s"
        self._log.warn(words + more, count=count, peer=peer, as_=as_)
