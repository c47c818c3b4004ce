"""Clients that have to say who they are: replies, order, time, bounds."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure

from memq.access.admission import Admission, Entry
from memq.access.authenticator import DELAY, MOST_FAILURES
from memq.access.rights import ROLES, Rights
from memq.access.secrets import PasswordHash, TokenHash
from memq.access.users import User, Users
from memq.connection.login import AGAIN, LOGIN_SECONDS
from memq.server import entrances
from memq.test.support.harness import Client, Harness, Transport
from memq.test.support.packets import packet, request, response, shown, ways
from memq.test.support.sessions import VERSION
from memq.test.support.stepped import SteppedTestCase
from memq.wire.auth.ascii import MAX_LINE

CHEAP = (2, 1, 1)
EVERYTHING = Rights(server=ROLES["admin"])
SHOP = User("shop", EVERYTHING, (TokenHash.of(b"token"),), unix=frozenset([5]))
OPS = User("ops", EVERYTHING, password=PasswordHash.of(b"password", CHEAP))
ASKS = Admission(ways=frozenset(["password"]))

STORED = b"STORED\r\n"
FAILED = b"CLIENT_ERROR authentication failure\r\n"
UNAUTHENTICATED = b"CLIENT_ERROR unauthenticated\r\n"


def said(secret: bytes, user: bytes = b"shop") -> bytes:
    """Return the command by which a client says who it is."""
    body = user + b" " + secret
    return b"set auth 0 0 %d\r\n%b\r\n" % (len(body), body)


def plain(secret: bytes, user: bytes = b"shop", opaque: int = 0) -> bytes:
    """Return the packet by which it does."""
    return packet(0x21, b"PLAIN", b"\0%b\0%b" % (user, secret), opaque=opaque)


class LoginTestCase(SteppedTestCase):
    """A server whose listeners ask for a password."""

    def setUp(self) -> None:
        """Make it."""
        self.patch(PasswordHash, "decoy", lambda: PasswordHash.of(b"-", CHEAP))
        self.harness = self.make()

    def make(self, **options: Any) -> Harness:
        """Return a server."""
        harness = Harness(**options)
        harness.access.replace(Users([SHOP, OPS]))
        return harness

    def connect(self, transport: Any = None, admission: Admission = ASKS) -> Client:
        """Return a new connection."""
        return self.harness.connect(transport, admission)

    def checkEvery(self, sent: bytes, expected: bytes, closed: bool = False) -> None:
        """Check what is answered, in whatever pieces the bytes come."""
        for pieces in ways(sent):
            client = self.connect()
            got = b""
            for piece in pieces:
                got += client.talk(piece)
                if client.isPaused:
                    self.harness.pass_(DELAY)
                    got += client.read()
            self.assertEqual((got, client.isClosed), (expected, closed), pieces)
            client.end()


class TextTests(LoginTestCase):
    """memcached's authentication in text."""

    def test_known(self) -> None:
        """A client that is who it says is served; what came behind is, too."""
        behind = b"set q 0 0 1\r\na\r\nget q\r\nversion\r\n"
        value = b"VALUE q 0 1\r\na\r\nEND\r\n"
        self.checkEvery(said(b"token") + behind, STORED * 2 + value + VERSION)
        self.checkEvery(said(b"password", b"ops") + b"get q\r\n", STORED + b"END\r\n")

    def test_manyAtOnce(self) -> None:
        """A few are heard in a turn; others later, unless they are gone by then."""
        self.patch(entrances, "HEARD", 2)
        self.harness = self.make()
        clients = [self.connect() for _ in range(6)]
        for client in clients:
            client.send(said(b"token") + b"version\r\n")
        self.assertEqual([c.isPaused for c in clients], [False] * 2 + [True] * 4)
        # What wants it to go on for another reason does not.
        clients[2].protocol.receiver.resumeProducing()
        self.assertTrue(clients[2].isPaused)
        clients[4].leave()
        self.harness.settle()
        told = [client.read() for client in clients]
        self.assertEqual(told, [STORED + VERSION] * 4 + [b"", STORED + VERSION])

    def test_bytesCounted(self) -> None:
        """Each byte is counted once."""
        data = said(b"token") + b"version\r\n"
        self.connect().talk(data)
        self.assertEqual(self.harness.statistics.bytesRead, len(data))

    def test_refused(self) -> None:
        """Anything else is refused in the words of memcached; the connection stays."""
        for sent, answered in (
            (b"get q\r\n", UNAUTHENTICATED),
            (b"quit\r\n", UNAUTHENTICATED),
            (
                b"set q 0 0 1\r\nx\r\n",
                b"CLIENT_ERROR bad authentication token format\r\n",
            ),
            (b"set q 0 0 1\r\nxyz", b"CLIENT_ERROR bad command line termination\r\n"),
            (
                b"set q 0 0 1\r\nx\r\n" * 4,
                b"CLIENT_ERROR bad authentication token format\r\n" * 4,
            ),
            (said(b"x" * 16380), b"CLIENT_ERROR auth token too long\r\n"),
        ):
            self.checkEvery(sent + said(b"token"), answered + STORED)
        self.checkEvery(b"x" * (MAX_LINE + 1), b"", True)
        self.assertEqual(self.harness.store.dump(), "")

    def test_foreign(self) -> None:
        """Another protocol is closed at once, and the log says which one."""
        with capturedLogs() as events:
            client = self.connect()
            self.assertEqual(client.talk(b"\x16\x03\x01"), b"")
        self.assertTrue(client.isClosed)
        self.assertIn("speaks TLS", formatEvent(events[0]))

    def test_wrong(self) -> None:
        """A failure is told half a second later; meanwhile nothing is read."""
        client = self.connect()
        self.assertEqual(client.talk(said(b"x") + said(b"token")), b"")
        self.assertTrue(client.isPaused)
        self.harness.pass_(DELAY - 0.01)
        self.assertEqual(client.read(), b"")
        self.harness.pass_(0.02)
        self.assertEqual(client.read(), FAILED + STORED)
        self.assertFalse(client.isPaused)

    def test_three(self) -> None:
        """The third failure closes."""
        client = self.connect()
        for _ in range(MOST_FAILURES):
            self.assertFalse(client.isClosed)
            client.talk(said(b"x", b"ops"))
            self.harness.pass_(DELAY)
            self.assertEqual(client.read(), FAILED)
        self.assertTrue(client.isClosed)

    def test_slowHash(self) -> None:
        """While a password is compared nothing behind it is carried out."""
        client = self.connect()
        client.send(said(b"password", b"ops") + b"version\r\n")
        self.harness.reactor.advance(0)
        self.assertEqual(client.read(), b"")
        # A client that reads again does not change that.
        client.stopReading()
        client.startReading()
        self.assertTrue(client.isPaused)
        self.harness.settle()
        self.assertEqual(client.read(), STORED + VERSION)

    def test_notReading(self) -> None:
        """A client that does not read what it is told is not read from."""
        client = self.connect()
        client.stopReading()
        client.send(said(b"token") + b"version\r\n")
        self.harness.settle()
        self.assertEqual(client.read(), b"")
        client.startReading()
        self.harness.settle()
        self.assertEqual(client.read(), STORED + VERSION)
        other = self.connect()
        self.assertEqual(other.talk(b"x\r\n"), UNAUTHENTICATED)
        other.stopReading()
        other.startReading()
        self.assertEqual(other.talk(said(b"token")), STORED)

    def test_gone(self) -> None:
        """A client that leaves meanwhile leaves nothing."""
        for secret in (b"password", b"x"):
            client = self.connect()
            client.send(said(secret, b"ops"))
            client.leave()
            self.harness.pass_(1)
            self.assertEqual(client.read(), b"")

    def test_ends(self) -> None:
        """A server that stops does not wait for an answer."""
        client = self.connect()
        client.send(said(b"password", b"ops"))
        self.harness.factory.finish()
        self.harness.settle()
        self.assertTrue(client.isClosed)
        other = self.connect()
        self.harness.factory.finish()
        other.protocol.dataReceived(b"x\r\n")
        self.assertEqual(other.read(), b"")

    def test_late(self) -> None:
        """Nor is anything taken that comes after the end."""
        client = self.connect()
        client.talk(b"x\r\n")
        client.read()
        client.protocol.finish()
        client.protocol.receiver.dataReceived(said(b"token"))
        self.assertEqual(client.read(), b"")

    def test_bug(self) -> None:
        """Where an answer fails in any other way, the client is cut off."""
        client = self.connect()

        def fail(*arguments: object) -> None:
            raise ZeroDivisionError

        self.patch(client.protocol, "enter", fail)
        client.talk(said(b"token"))
        self.assertTrue(client.isClosed)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class HalfClosed(Transport):
    """A transport that knows what has arrived."""

    #: Nothing is asked of it.
    unacknowledged = None

    def keepLittle(self) -> None:
        """Do nothing."""

    def finishWriting(self) -> None:
        """Do nothing."""


class HalfClosedTests(LoginTestCase):
    """Clients that send no more, and wait for answers."""

    def talk(self, data: bytes) -> bytes:
        """Send, and no more; return what is answered before the end."""
        client = self.connect(HalfClosed())
        client.send(data)
        # Over TLS it comes at once, though nothing is read.
        client.protocol.readConnectionLost()
        for _ in range(3):
            self.harness.pass_(DELAY)
        self.assertTrue(client.isClosed)
        return client.read()

    def test_answered(self) -> None:
        """A login under way is answered, and what came behind it."""
        known = said(b"password", b"ops") + b"version\r\n"
        self.assertEqual(self.talk(known), STORED + VERSION)
        self.assertEqual(
            self.talk(said(b"x") * 2 + known), FAILED * 2 + STORED + VERSION
        )
        self.assertEqual(
            self.talk(plain(b"token") + request("Noop"))[-24:], response("Noop")
        )

    def test_unknown(self) -> None:
        """So is one that never says who it is."""
        self.assertEqual(self.talk(b"get q\r\nset"), UNAUTHENTICATED)
        self.assertEqual(self.talk(said(b"x")), FAILED)


class PacketTests(LoginTestCase):
    """SASL PLAIN in packets."""

    def test_known(self) -> None:
        """A client may ask first; then it is served, with what came behind."""
        sent = request("SASLList") + request("Version") + plain(b"token", opaque=3)
        done = "SASLAuth opaque=3 value=Authenticated"
        expected = (
            response("SASLList value=PLAIN\\s")
            + response("Version value=" + VERSION.split()[1].decode())
            + response(done)
            + response("Noop opaque=9")
        )
        self.checkEvery(sent + request("Noop opaque=9"), expected)

    def test_steps(self) -> None:
        """A client that says nothing at first is asked."""
        sent = request("SASLAuth key=PLAIN opaque=1")
        sent += packet(0x22, b"PLAIN", b"\0ops\0password")
        expected = packet(0x21, opaque=1, status=0x21, magic=0x81)
        expected += response("SASLStep value=Authenticated")
        self.checkEvery(sent, expected)

    def test_wrong(self) -> None:
        """A failure is told half a second later, the third one closes."""
        client = self.connect()
        wrong = packet(0x21, b"CRAM-MD5", b"x")
        for sent in (plain(b"x"), plain(b"x", b"ops"), wrong):
            self.assertFalse(client.isClosed)
            self.assertEqual(client.talk(sent), b"")
            self.harness.pass_(DELAY)
            got = shown(client.read())
            self.assertEqual(got, ["SASLAuth value=b'Auth failure.' status='0020'"])
        self.assertTrue(client.isClosed)

    def test_others(self) -> None:
        """Any other request closes."""
        refused = response("Noop value=Auth\\sfailure. status=20")
        self.checkEvery(request("Noop") + plain(b"token"), refused, True)
        self.checkEvery(b"\x80" + bytes(3) + b"\x09" + bytes(19), b"", True)

    def test_tooLong(self) -> None:
        """What is too long for any is refused, and the next one taken."""
        sent = request("SASLAuth key=PLAIN value=x*20000") + plain(b"token")
        expected = response("SASLAuth value=auth\\stoken\\stoo\\slong status=4")
        expected += response("SASLAuth value=Authenticated")
        self.checkEvery(sent, expected)


class Peer(Transport):
    """A transport of a process, or of a certificate."""

    uid: int | None = None
    peerNames: tuple[str, ...] = ()

    def owner(self) -> tuple[int, int] | None:
        """Return the process and its uid."""
        return None if self.uid is None else (99, self.uid)


class ShownTests(LoginTestCase):
    """Clients of whom the transport tells."""

    def peer(self, uid: int) -> Client:
        """Return a client that is a process, or else says a password."""
        transport = Peer()
        transport.uid = uid
        return self.connect(transport, Admission(ways=frozenset(["peer", "password"])))

    def test_claims(self) -> None:
        """Who is known like that may say anything in packets, and stays the same."""
        client = self.peer(5)
        done = response("SASLAuth value=Authenticated")
        self.assertEqual(client.talk(plain(b"password", b"ops")), done)
        self.assertIs(client.protocol.user, SHOP)
        other = self.connect()
        unknown = response("SASLAuth status=81 value=unknown\\scommand")
        self.assertEqual(other.talk(plain(b"token") * 2), done + unknown)

    def test_peer(self) -> None:
        """A process that is a user is served at once; all others log in."""
        self.assertEqual(self.peer(5).talk(b"version\r\n"), VERSION)
        self.assertEqual(self.peer(5).talk(request("Noop")), response("Noop"))
        other = self.peer(6)
        self.assertEqual(other.talk(b"version\r\n"), UNAUTHENTICATED)
        self.assertEqual(other.talk(said(b"token") + b"version\r\n"), STORED + VERSION)

    def test_nobody(self) -> None:
        """Where no word would do, it is refused at once."""
        admission = Admission(ways=frozenset(["certificate", "peer"]))
        client = self.connect(Peer(), admission)
        self.assertEqual(client.read(), UNAUTHENTICATED)
        self.assertTrue(client.isClosed)
        client.protocol.dataReceived(b"version\r\n")
        self.assertEqual(client.read(), b"")

    def test_remembered(self) -> None:
        """What somebody came in by is known, and nothing of what was said."""
        client = self.connect()
        client.talk(said(b"token"))
        self.assertEqual(client.protocol.entry, Entry(SHOP, proof=SHOP.tokens[0]))
        other = self.connect()
        other.talk(said(b"password", b"ops"))
        self.assertEqual(other.protocol.entry, Entry(OPS, proof=OPS.password))


class TimeTests(LoginTestCase):
    """Clients that take too long."""

    def test_limit(self) -> None:
        """A client that does not say who it is is cut off, whatever else it says."""
        silent, talking, slow = self.connect(), self.connect(), self.connect()
        known = self.connect()
        known.talk(said(b"token"))
        slow.send(said(b"token")[:-1])
        for _ in range(round(LOGIN_SECONDS)):
            self.assertFalse(silent.isClosed or talking.isClosed or slow.isClosed)
            talking.talk(b"get q\r\n")
            self.harness.pass_(1)
        self.assertTrue(silent.isClosed and talking.isClosed and slow.isClosed)
        self.assertFalse(known.isClosed)
        silent.end()
        self.assertEqual(known.talk(b"version\r\n"), VERSION)

    def test_serverIsLate(self) -> None:
        """A client that has said something in time is answered before that counts."""
        client = self.connect()
        self.harness.pass_(LOGIN_SECONDS - DELAY / 2)
        self.assertEqual(client.talk(said(b"wrong")), b"")
        self.harness.pass_(DELAY / 2)
        self.assertFalse(client.isClosed)
        self.harness.pass_(DELAY / 2)
        self.assertEqual(client.read(), FAILED)
        self.harness.pass_(AGAIN)
        self.assertTrue(client.isClosed)

    def test_serverHearsLate(self) -> None:
        """Nor is one late that waits to be heard."""
        self.patch(entrances, "HEARD", 1)
        self.harness = self.make()
        first, second = self.connect(), self.connect()
        first.send(said(b"wrong"))
        second.send(said(b"token"))
        # Its time is over just now.
        second.protocol._limit.cancel()
        second.protocol._expire()
        self.harness.settle()
        self.assertEqual(second.read(), STORED)
        self.harness.pass_(LOGIN_SECONDS)
        self.assertFalse(second.isClosed)

    def test_limitOfMany(self) -> None:
        """Many are cut off a few in a turn; one may have gone by itself meanwhile."""
        self.patch(entrances, "HEARD", 1)
        self.harness = self.make()
        clients = [self.connect() for _ in range(3)]
        cutOff = clients[1].protocol.cutOff

        def cut() -> None:
            cutOff()
            clients[2].leave()

        # Its turn comes when the time of all is over.
        clients[1].protocol.cutOff = cut
        self.harness.pass_(LOGIN_SECONDS)
        self.assertEqual([each.isClosed for each in clients], [True, True, False])

    def test_left(self) -> None:
        """Nothing is left of those who went before."""
        client = self.connect()
        before = len(self.harness.reactor.calls)
        client.end()
        self.assertEqual(len(self.harness.reactor.calls), before - 1)


class ReloadTests(LoginTestCase):
    """Users that are read again while clients are there."""

    def setUp(self) -> None:
        """Let one be known by a token, and one not yet."""
        super().setUp()
        self.client, self.stranger = self.connect(), self.connect()
        self.client.talk(said(b"token"))

    def reload(self, *users: User) -> None:
        """Let there be other users."""
        self.harness.access.replace(Users(users))
        self.harness.settle()

    def test_rights(self) -> None:
        """A client has the rights that its user has by now."""
        self.reload(SHOP._replace(rights=Rights(read=[b"q"])))
        self.assertEqual(
            self.client.talk(b"set q 0 0 1\r\na\r\nget q\r\n"),
            b"CLIENT_ERROR not allowed\r\nEND\r\n",
        )
        self.reload(SHOP)
        self.assertEqual(self.client.talk(b"set q 0 0 1\r\na\r\n"), STORED)

    def test_gone(self) -> None:
        """It is cut off when its user, or what it said, is gone."""
        self.reload(SHOP._replace(tokens=(TokenHash.of(b"new"),)), OPS)
        self.assertTrue(self.client.isClosed)
        self.assertFalse(self.stranger.isClosed)
        self.assertEqual(self.stranger.talk(said(b"new")), STORED)
        self.reload(OPS)
        self.assertTrue(self.stranger.isClosed)


class ToldTests(LoginTestCase):
    """The log says who somebody is."""

    def test_told(self) -> None:
        """Commands, errors and the audit have the name of the user."""
        self.harness = self.make(verbosity=2)
        client = self.connect()
        with capturedLogs() as events:
            client.talk(said(b"token"))
            client.talk(b"get q\r\nx\r\nflush_all\r\n")
        lines = [formatEvent(event) for event in events]
        peer = "192.168.1.1:54321"
        self.assertEqual(lines[0], f"{peer} (user shop) is let in")
        self.assertEqual(lines[1], f"{peer} (user shop) get q")
        self.assertIn(f"{peer} (user shop) is told: ", " ".join(lines))
        self.assertIn(f"{peer} (text, shop) flush_all: ", " ".join(lines))
        self.assertEqual({event.get("user") for event in events}, {"shop"})
        self.assertEqual({event.get("peer") for event in events}, {peer})


class SecretTests(LoginTestCase):
    """Nothing that is said in a login is shown by anything."""

    def test_log(self) -> None:
        """No log line has a secret, with -vv, whatever becomes of it."""
        self.harness = self.make(verbosity=2)
        secret = b"hunter2-grackle"
        clients = []
        with capturedLogs() as events:
            for sent in (
                said(secret),
                said(secret, b"ops"),
                said(secret + b"\r\n"),
                b"set q 0 0 99999\r\n" + secret * 9000,
                plain(secret),
                packet(0x21, secret, secret),
                packet(0x01, secret, secret, bytes(8)),
                secret,
                secret + b"\r\n",
                secret * 900,
            ):
                client = self.connect()
                client.talk(sent)
                self.harness.pass_(DELAY)
                clients.append(client)
            for client in clients:
                client.protocol.connectionLost(Failure(ConnectionDone()))
            self.harness.pass_(LOGIN_SECONDS)
        lines = [formatEvent(event) + repr(event) for event in events]
        self.assertGreater(len(lines), 3)
        for line in lines:
            self.assertNotIn("hunter2", line)
