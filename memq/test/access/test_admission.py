"""What a listener asks, what a transport tells, and who stays when users change."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from memq.access.admission import OPEN, AccessControl, Admission, Entry
from memq.access.rights import Rights
from memq.access.secrets import PasswordHash, TokenHash
from memq.access.users import User, Users

TOKEN = TokenHash.of(b"token")
SHOP = User("shop", Rights(), (TOKEN,), unix=frozenset([5]))
OPS = User(
    "ops",
    Rights(),
    words=(TokenHash.of(b"word"),),
    password=PasswordHash.of(b"password", (2, 1, 1)),
    certificates=frozenset(["CN=ops"]),
)


class Peer:
    """A transport that tells of the other end.

    :ivar uid: that of the process; None for nobody.
    """

    def __init__(self, uid: int | None = None, *names: str) -> None:
        self.uid = uid
        self.peerNames = names

    def owner(self) -> tuple[int, int] | None:
        """Return the process and its uid."""
        return None if self.uid is None else (99, self.uid)


class AdmissionTestCase(SynchronousTestCase):
    """Access control with two users."""

    def setUp(self) -> None:
        """Make it."""
        self.access = AccessControl(Users([SHOP, OPS]), Clock(), maybeDeferred)

    def enter(self, transport: Any, *ways: str, user: str = "") -> Entry | None:
        """Come in by a listener that asks something."""
        admission = Admission(user, frozenset(ways))
        return self.access.entryOf(admission, "10.0.0.1:4000", transport)

    def counts(self) -> tuple[int, int]:
        """Return how many attempts there were, and how many failed."""
        authenticator = self.access.authenticator
        return authenticator.attempts, authenticator.failures


class EntryTests(AdmissionTestCase):
    """Who is who, without a word."""

    def test_open(self) -> None:
        """A listener that asks nothing is open; others are while there is no user."""
        asks = frozenset(["password"])
        late = Admission(ways=asks, whenUsers=True)
        for admission, isOpen, isOpenAlone in (
            (OPEN, True, True),
            (Admission(whenUsers=True), True, True),
            (Admission("shop"), False, False),
            (Admission(ways=asks), False, False),
            (late, False, True),
        ):
            self.access.replace(Users([SHOP]))
            self.assertEqual(self.access.isOpen(admission), isOpen, admission)
            self.access.replace(Users())
            self.assertEqual(self.access.isOpen(admission), isOpenAlone, admission)

    def test_listener(self) -> None:
        """A listener is its user, as long as there is one; that is no attempt."""
        self.assertEqual(self.enter(Peer(), user="ops"), Entry(OPS))
        self.assertIsNone(self.enter(Peer(5, "CN=ops"), user="other"))
        self.assertEqual(self.counts(), (0, 0))

    def test_shown(self) -> None:
        """A uid and a certificate tell, where that is asked; each counts."""
        peer, certificate = Entry(SHOP, uid=5), Entry(OPS, names=("CN=ops",))
        for transport, ways, expected in (
            (Peer(5), ["peer"], peer),
            (Peer(6), ["peer"], None),
            (Peer(), ["peer"], None),
            (object(), ["peer", "certificate"], None),
            (Peer(5, "CN=ops"), ["certificate"], certificate),
            (Peer(None, "CN=x"), ["certificate"], None),
            (Peer(5, "CN=ops"), ["peer", "certificate"], peer),
            (Peer(6, "CN=ops"), ["peer", "certificate"], certificate),
        ):
            self.assertEqual(self.enter(transport, *ways), expected)
        self.assertEqual(self.counts(), (8, 4))

    def test_wordToCome(self) -> None:
        """Somebody unknown is no failure where there is a word to come."""
        self.assertIsNone(self.enter(Peer(6), "peer", "password"))
        self.assertIsNone(self.enter(Peer(5), "password"))
        self.assertEqual(self.counts(), (0, 0))
        self.assertEqual(self.enter(Peer(5), "peer", "password"), Entry(SHOP, 5))
        self.assertEqual(self.counts(), (1, 0))


class AgainTests(AdmissionTestCase):
    """Who stays when users are read again."""

    def test_same(self) -> None:
        """Whoever could come in again stays, with the rights of now."""
        for entry in (
            Entry(SHOP),
            Entry(SHOP, uid=5),
            Entry(SHOP, proof=SHOP.proofOf(b"token")),
            Entry(OPS, names=("CN=ops", "DNS:x")),
            Entry(OPS, proof=OPS.proofOf(b"word")),
            Entry(OPS, proof=OPS.proofOf(b"password")),
        ):
            user = entry.user._replace(rights=Rights(write=[b"*"]))
            again = entry.again(Users([user]))
            self.assertEqual(again, entry._replace(user=user))

    def test_gone(self) -> None:
        """All others do not."""
        bare = SHOP._replace(unix=frozenset(), tokens=())
        other = SHOP._replace(name="other")
        newToken = SHOP._replace(tokens=(TokenHash.of(b"x"),))
        newPassword = OPS._replace(password=PasswordHash.of(b"password", (2, 1, 1)))
        for entry, *users in (
            (Entry(SHOP),),
            (Entry(SHOP), other),
            (Entry(SHOP, uid=5), bare),
            (Entry(SHOP, uid=5), bare, other._replace(tokens=())),
            (Entry(SHOP, proof=TOKEN), bare),
            (Entry(SHOP, proof=TOKEN), newToken),
            (Entry(OPS, proof=OPS.password), newPassword),
            (Entry(OPS, names=("CN=ops",)), OPS._replace(certificates=frozenset())),
        ):
            self.assertIsNone(entry.again(Users(users)), entry)

    def test_told(self) -> None:
        """Whoever holds clients is told that users have changed."""
        seen: list[Users] = []
        self.access.changed.append(lambda: seen.append(self.access.users))
        users = Users([SHOP])
        self.access.replace(users)
        self.assertEqual(seen, [users])
