"""Proven credentials: who is known again, for how long, and what ends it."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from memq.access.rights import Rights
from memq.access.secrets import PasswordHash, TokenHash
from memq.access.users import User, Users
from memq.web.http.proven import Proven


class ProvenTests(SynchronousTestCase):
    """Two that are kept, for ten seconds."""

    def setUp(self) -> None:
        """Keep one."""
        self.clock = Clock()
        self.proven = Proven(self.clock.seconds, 2, 10)
        self.user = User("u", Rights(), (TokenHash.of(b"t"),))
        self.users = Users([self.user])
        self.proven.note(self.users, self.user, b"said")

    def test_found(self) -> None:
        """What was said is known again; nothing else is."""
        self.assertIs(self.proven.find(self.users, b"said"), self.user)
        self.assertIsNone(self.proven.find(self.users, b"other"))

    def test_keyed(self) -> None:
        """Nothing of what was said is kept, and each has another key."""
        other = Proven(self.clock.seconds, 2, 10)
        other.note(self.users, self.user, b"said")
        self.assertNotEqual(set(other._entries), set(self.proven._entries))
        self.assertNotIn(b"said", str(vars(other)).encode())

    def test_late(self) -> None:
        """It counts for so long, and again when it is said again."""
        self.clock.advance(9)
        self.proven.note(self.users, self.user, b"said")
        self.clock.advance(9)
        self.assertIs(self.proven.find(self.users, b"said"), self.user)
        self.clock.advance(1)
        self.assertIsNone(self.proven.find(self.users, b"said"))

    def test_bounded(self) -> None:
        """Those that were noted first go."""
        self.proven.note(self.users, self.user, b"2")
        self.proven.note(self.users, self.user, b"said")
        self.proven.note(self.users, self.user, b"3")
        self.assertEqual(len(self.proven), 2)
        self.assertIsNone(self.proven.find(self.users, b"2"))
        other = self.user._replace(name="v", tokens=())
        both = Users([self.user, other])
        self.proven.note(both, other, b"4")
        self.assertEqual(len(self.proven), 3)
        self.assertIs(self.proven.find(both, b"said"), self.user)
        self.proven.forget(b"4")
        self.proven.forget(b"3")
        self.proven.forget(b"4")
        self.assertEqual(len(self.proven), 1)

    def test_rights(self) -> None:
        """A user with other rights is found with these."""
        now = self.user._replace(rights=Rights([b"q"]))
        self.assertIs(self.proven.find(Users([now]), b"said"), now)

    def test_secrets(self) -> None:
        """A user with other secrets, or who is gone, is not found, nor later."""
        tokens = self.user.tokens
        for now in (
            [],
            [self.user._replace(tokens=(*tokens, TokenHash.of(b"2")))],
            [self.user._replace(words=tokens)],
            [self.user._replace(password=PasswordHash.of(b"p", (2, 1, 1)))],
            [self.user._replace(name="v")],
        ):
            self.setUp()
            self.assertIsNone(self.proven.find(Users(now), b"said"))
            self.assertIsNone(self.proven.find(self.users, b"said"))
            self.assertEqual(len(self.proven), 0)
