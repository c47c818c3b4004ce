"""Login: who somebody is, and sessions."""

from __future__ import annotations

import json

from memq.access.rights import Rights
from memq.test.web.api.access.base import AccessTestCase, basic, bearer, user
from memq.web.http.gate import SESSION_SECONDS, SESSIONS

NOBODY = {"write": [], "read": [], "manage": [], "actions": False, "bodies": True}


class LoginTests(AccessTestCase):
    """The routes."""

    def begin(self, *lines: str) -> str:
        """Return the token of a new session."""
        reply = self.call("/login", "POST", {}, *lines)
        self.assertEqual(reply.code, 200)
        told = json.loads(reply.body)
        self.assertEqual(told["seconds"], SESSION_SECONDS)
        return str(told["token"])

    def me(self, line: str) -> object:
        """Return who is told to be there; None if nobody is."""
        reply = self.call("/me", "GET", None, line)
        return json.loads(reply.body)["user"] if reply.code == 200 else None

    def test_me(self) -> None:
        """Somebody is told the own name, role and patterns."""
        self.assertEqual(
            self.asked("shop", "/me")[1],
            {
                "user": "shop",
                "role": None,
                "write": ["orders.*"],
                "read": ["mails"],
                "manage": ["own"],
                "actions": True,
                "bodies": True,
            },
        )
        roles = [self.asked(who, "/me")[1]["role"] for who in ("eye", "ops")]
        self.assertEqual(roles, ["monitor", "admin"])

    def test_open(self) -> None:
        """Without users everybody is an admin, and needs no session."""
        self.replace()
        self.assertEqual(self.told("/me"), {"user": None, "role": "admin", **NOBODY})
        none = {"user": None, "token": None, "seconds": None}
        self.assertEqual(self.told("/login", "POST", {}), none)
        self.assertEqual(self.told("/login", "DELETE", {}), {})

    def test_session(self) -> None:
        """A session is of the user who began it, until it is ended."""
        token = bearer(self.begin(basic("ops", "pass:word")))
        self.assertEqual(self.me(token), "ops")
        # It is not made longer by itself.
        self.assertEqual(self.call("/login", "POST", {}, token).code, 403)
        self.assertEqual(self.call("/login", "DELETE", {}, token).code, 200)
        self.late(token)

    def late(self, line: str) -> None:
        """Check that nobody is there, which takes half a second."""
        visitor = self.visitor()
        visitor.request("/api/v1/me", "GET", line)
        self.assertEqual(visitor.read(), b"")
        self.harness.pass_(1)
        self.assertIn(b"401 Unauthorized", visitor.read())

    def test_certificate(self) -> None:
        """A session ends when its user has other certificates."""
        token = bearer(self.begin(basic("ops", "pass:word")))
        self.replace(self.ops, self.shop)
        self.assertEqual(self.me(token), "ops")
        self.replace(self.ops._replace(certificates=frozenset()), self.shop)
        self.late(token)

    def test_ends(self) -> None:
        """It ends by itself, and with the secrets of its user."""
        first = bearer(self.begin(bearer("shopshop")))
        self.harness.reactor.advance(SESSION_SECONDS - 1)
        self.assertEqual(self.me(first), "shop")
        second = bearer(self.begin(bearer("shopshop")))
        self.harness.reactor.advance(1)
        self.late(first)
        self.assertEqual(self.me(second), "shop")
        self.replace(self.shop._replace(rights=Rights([b"x"])), self.ops)
        told = json.loads(self.call("/me", "GET", None, second).body)
        self.assertEqual(told["write"], ["x"])
        self.replace(user("shop", Rights(), password=self.password))
        self.late(second)

    def test_bounded(self) -> None:
        """There are so many at most; the oldest go."""
        tokens = [bearer(self.begin(bearer("shopshop"))) for _ in range(SESSIONS + 1)]
        self.late(tokens[0])
        self.assertEqual(self.me(tokens[1]), "shop")
