"""The authenticator: answers, their time, their number, and what is never kept."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from memq.access import authenticator
from memq.access.authenticator import (
    BUSY,
    DELAY,
    FAILURE,
    MOST_WAITING,
    SUCCESS,
    Authenticator,
    Tries,
)
from memq.access.rights import Rights
from memq.access.secrets import PasswordHash, TokenHash
from memq.access.users import User, Users
from memq.wire.auth.ascii import Credentials
from memq.wire.auth.refusals import AuthFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.logger import LogEvent

CHEAP = (2, 1, 1)
PEER = "10.0.0.1:4000"
#: What is said that is wrong; nothing may show it.
SECRET = b"hunter2-grackle"


class Threads:
    """A thread pool whose calls run when they are told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[Deferred[bool], Callable[[bytes], bool], bytes]] = []

    def defer(self, call: Callable[[bytes], bool], secret: bytes) -> Deferred[bool]:
        """Keep a call."""
        done: Deferred[bool] = Deferred()
        self.calls.append((done, call, secret))
        return done

    def run(self) -> None:
        """Run the next one."""
        done, call, secret = self.calls.pop(0)
        done.callback(call(secret))


class AuthenticatorTestCase(SynchronousTestCase):
    """An authenticator with two users, one of whom has a password."""

    def setUp(self) -> None:
        """Make it."""
        self.patch(PasswordHash, "decoy", lambda: PasswordHash.of(b"-", CHEAP))
        self.clock = Clock()
        self.threads = Threads()
        token = TokenHash.of(b"token")
        self.shop = User("shop", Rights(), (token,), unix=frozenset([5]))
        password = PasswordHash.of(b"password", CHEAP)
        names = frozenset(["CN=ops"])
        self.ops = User("ops", Rights(), password=password, certificates=names)
        self.authenticator = self.make(self.shop, self.ops)
        self.events: list[LogEvent] = []
        observe: Any = self.events.append
        log = Logger("memq.access", observer=observe)
        self.patch(self.authenticator, "_log", log)
        self.tries = Tries()

    def make(self, *users: User) -> Authenticator:
        """Return one with these users."""
        return Authenticator(Users(users), self.clock, self.threads.defer)

    def say(
        self, user: bytes, secret: bytes, tries: Tries | None = None
    ) -> Deferred[User]:
        """Say who somebody is."""
        said = Credentials(user, secret)
        return self.authenticator.ofCredentials(PEER, tries or Tries(), said)

    def lines(self) -> list[str]:
        """Return what was logged since the last time."""
        lines = [formatEvent(event) for event in self.events]
        self.events.clear()
        return lines

    def assertFails(self, answer: Deferred[Any], closes: bool = False) -> None:
        """Assert that somebody is refused, once it is time, and not before."""
        self.assertNoResult(answer)
        self.clock.advance(DELAY - 0.01)
        self.assertNoResult(answer)
        self.clock.advance(0.02)
        error = self.failureResultOf(answer, AuthFailed).value
        self.assertEqual(error.closes, closes)


class AnswerTests(AuthenticatorTestCase):
    """Who is who."""

    def test_token(self) -> None:
        """A token is known at once, without a thread."""
        self.assertIs(self.successResultOf(self.say(b"shop", b"token")), self.shop)
        self.assertEqual(self.threads.calls, [])
        self.assertEqual(self.authenticator.results, {SUCCESS: 1, FAILURE: 0, BUSY: 0})
        self.assertEqual(self.lines(), [])

    def test_password(self) -> None:
        """A password is compared in a thread, and then known at once."""
        answer = self.say(b"ops", b"password")
        self.assertNoResult(answer)
        self.threads.run()
        self.assertIs(self.successResultOf(answer), self.ops)

    def test_wrong(self) -> None:
        """Whatever is wrong, scrypt runs once, and it takes half a second."""
        for user, secret in (
            (b"shop", SECRET),
            (b"shop", b"password"),
            (b"shop", b"-"),
            (b"ops", SECRET),
            (b"ops", b"token"),
            (b"nobody", SECRET),
            (b"nobody", b"-"),
            (b"", b""),
            (b"\xff", b"-"),
        ):
            answer = self.say(user, secret)
            self.assertEqual(len(self.threads.calls), 1)
            self.threads.run()
            self.assertFails(answer)

    def test_noPasswords(self) -> None:
        """Where nobody has a password, no thread is asked."""
        self.authenticator.users = Users([self.shop])
        for user in (b"shop", b"nobody"):
            self.assertFails(self.say(user, SECRET))
        self.assertEqual(self.threads.calls, [])

    def test_slow(self) -> None:
        """Half a second counts from what was said; what is late comes at once."""
        answer = self.say(b"ops", SECRET)
        self.clock.advance(DELAY - 0.1)
        self.threads.run()
        self.assertNoResult(answer)
        self.clock.advance(0.1)
        self.failureResultOf(answer, AuthFailed)
        answer = self.say(b"ops", SECRET)
        self.clock.advance(DELAY * 3)
        self.threads.run()
        self.clock.advance(0)
        self.failureResultOf(answer, AuthFailed)

    def test_third(self) -> None:
        """The third failure of a connection closes it; others are no matter to it."""
        self.authenticator.users = Users([self.shop])
        for closes in (False, False, True, True):
            self.assertFails(self.say(b"shop", SECRET, self.tries), closes)
            self.successResultOf(self.say(b"shop", b"token", self.tries))
        self.assertFails(self.say(b"shop", SECRET))

    def test_tokenAlone(self) -> None:
        """A token tells by itself whose it is."""
        answer = self.authenticator.ofToken(PEER, self.tries, b"token")
        self.assertIs(self.successResultOf(answer), self.shop)
        for wrong in (SECRET, b"password"):
            self.assertFails(self.authenticator.ofToken(PEER, self.tries, wrong))

    def test_nobody(self) -> None:
        """What cannot be compared is a failure as any other."""
        for closes in (False, False, True):
            answer = self.authenticator.ofNobody(PEER, self.tries)
            self.assertFails(answer, closes)
        self.assertEqual(self.authenticator.results[FAILURE], 3)
        self.assertEqual(self.threads.calls, [])

    def test_readAgain(self) -> None:
        """Users may be read again meanwhile: the password has to be the same."""
        same, other = self.ops._replace(rights=Rights()), PasswordHash.of(b"x", CHEAP)
        for users, expected in (
            ([same], same),
            ([same._replace(password=other)], None),
            ([same._replace(password=None)], None),
            ([], None),
        ):
            self.authenticator.users = Users([self.ops])
            answer = self.say(b"ops", b"password")
            self.authenticator.users = Users(users)
            self.threads.run()
            if expected is None:
                self.assertFails(answer)
            else:
                self.assertIs(self.successResultOf(answer), expected)

    def test_shown(self) -> None:
        """A uid and a certificate tell at once; a listener is no attempt."""
        self.assertIs(self.authenticator.named("ops"), self.ops)
        self.assertIsNone(self.authenticator.named("x"))
        self.assertEqual(self.authenticator.attempts, 0)
        self.authenticator.noteShown(PEER, True)
        self.authenticator.noteShown(PEER, False)
        self.assertEqual(
            (self.authenticator.attempts, self.authenticator.failures), (2, 1)
        )


class BoundTests(AuthenticatorTestCase):
    """Many attempts at once."""

    def test_oneAtATime(self) -> None:
        """One password is compared at a time, in the order in which they came."""
        answers = [self.say(b"ops", b"password") for _ in range(3)]
        for answer in answers:
            self.assertEqual(len(self.threads.calls), 1)
            self.assertNoResult(answer)
            self.threads.run()
            self.successResultOf(answer)
        self.assertEqual(self.threads.calls, [])

    def test_busy(self) -> None:
        """Few wait; more are refused, however right; tokens are known all the same."""
        answers = [self.say(b"ops", b"password") for _ in range(MOST_WAITING + 1)]
        refused = [self.say(b"ops", b"password") for _ in range(500)]
        self.successResultOf(self.say(b"shop", b"token"))
        self.assertEqual(len(self.authenticator._waiting), MOST_WAITING)
        self.assertEqual(self.authenticator.results[BUSY], 500)
        self.assertEqual(self.authenticator.failures, 500)
        self.clock.advance(DELAY)
        for answer in refused:
            self.failureResultOf(answer, AuthFailed)
        for answer in answers:
            self.threads.run()
            self.successResultOf(answer)

    def test_gone(self) -> None:
        """A client that goes leaves nothing, wherever its attempt is."""
        running, waiting = self.say(b"ops", SECRET), self.say(b"ops", SECRET)
        last = self.say(b"ops", b"password")
        for answer in (running, waiting):
            answer.cancel()
            self.failureResultOf(answer, CancelledError)
        self.threads.run()
        # That of the second is never compared.
        self.threads.run()
        self.successResultOf(last)
        answer = self.say(b"nobody", SECRET)
        self.threads.run()
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.authenticator.results, {SUCCESS: 1, FAILURE: 3, BUSY: 0})

    def test_goneThough(self) -> None:
        """Somebody who was right, and went, is told nothing."""
        answer = self.say(b"ops", b"password")
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.threads.run()
        self.assertEqual(self.authenticator.results[SUCCESS], 1)

    def test_broken(self) -> None:
        """A password that cannot be compared is wrong, and the next one is compared."""
        answer, other = self.say(b"ops", b"password"), self.say(b"ops", b"password")
        self.threads.calls.pop(0)[0].errback(MemoryError("no room"))
        self.assertFails(answer)
        self.assertIn("A password could not be compared: no room", self.lines())
        self.threads.run()
        self.successResultOf(other)

    def test_bug(self) -> None:
        """An answer that breaks whoever waits for it is logged."""
        self.patch(self.authenticator, "_end", lambda *_: 1 // 0)
        self.say(b"ops", b"password")
        self.threads.run()
        self.assertEqual(self.lines(), ["An authentication could not be answered"])


class TurnTests(AuthenticatorTestCase):
    """Failures that are due at once."""

    def test_told(self) -> None:
        """A few are told in a turn; whoever goes meanwhile is told nothing."""
        self.patch(authenticator, "TOLD", 2)
        self.authenticator = self.make(self.shop)
        answers = [self.say(b"shop", SECRET) for _ in range(5)]
        answers[2].addErrback(lambda failure: answers[3].cancel())
        self.clock.advance(DELAY)
        self.failureResultOf(answers[3], CancelledError)
        self.successResultOf(answers[2])
        for place in (0, 1, 4):
            self.failureResultOf(answers[place], AuthFailed)


class LogTests(AuthenticatorTestCase):
    """What is said of failures."""

    def fail(self, user: bytes = b"nobody") -> None:  # type: ignore[override]
        """Let somebody fail."""
        answer = self.say(user, SECRET)
        self.threads.run()
        self.assertFails(answer)

    def test_line(self) -> None:
        """There is one line a minute, with the user if there is one."""
        self.fail(b"shop")
        self.fail()
        more = "; no more than a line in 60 s"
        first = f"failed authentications: 1, the last one of {PEER} as user shop{more}"
        self.assertEqual(self.lines(), [first])
        self.clock.advance(60)
        self.fail()
        second = f"failed authentications: 2, the last one of {PEER}{more}"
        self.assertEqual(self.lines(), [second])

    def test_busyLine(self) -> None:
        """There is another one for those that nobody has looked at."""
        for _ in range(MOST_WAITING + 3):
            self.say(b"ops", SECRET)
        (line,) = self.lines()
        self.assertIn("refused unseen, since too many wait: 1", line)

    def test_secret(self) -> None:
        """Nothing of what was said is in a line, an error, a figure or a text."""
        said = Credentials(SECRET, SECRET)
        answer = self.authenticator.ofCredentials(PEER, self.tries, said)
        told = f"{said!r} {said} {answer!r} {vars(self.authenticator)!r}"
        self.threads.run()
        self.clock.advance(DELAY)
        told += repr(self.failureResultOf(answer).getTraceback(detail="default"))
        told += repr(self.events) + repr(self.authenticator.results)
        self.assertNotIn(SECRET.decode(), told)

    def test_forgotten(self) -> None:
        """Once it is answered, nothing holds what was said."""

        class Bytes(bytes):
            """Bytes that the collector knows."""

        answer = self.say(b"ops", Bytes(SECRET))
        self.threads.run()
        self.clock.advance(DELAY)
        self.failureResultOf(answer)
        del answer
        gc.collect()
        self.assertEqual([o for o in gc.get_objects() if type(o) is Bytes], [])
