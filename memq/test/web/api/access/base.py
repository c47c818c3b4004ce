"""What tests of access share: an API with users, of whom each has other rights."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any, ClassVar

from memq.access.rights import ROLES, Rights
from memq.access.secrets import PasswordHash, TokenHash
from memq.access.users import User, Users
from memq.test.web.api.base import ApiTestCase

if TYPE_CHECKING:
    from collections.abc import Iterable

#: A cost of scrypt that is none.
CHEAP = (2, 1, 1)


def basic(user: str, secret: str) -> str:
    """Return the header that says a user and a secret."""
    return f"Authorization: Basic {b64encode(f'{user}:{secret}'.encode()).decode()}"


def bearer(token: str) -> str:
    """Return the header that says a token."""
    return f"Authorization: Bearer {token}"


def user(name: str, rights: Rights, **more: Any) -> User:
    """Return a user whose token is its name twice."""
    token = TokenHash.of(f"{name}{name}".encode())
    return User(name, rights, tokens=(token,), **more)


class AccessTestCase(ApiTestCase):
    """Has users: an admin with a password, a monitor, and a shop with some queues."""

    settings: ClassVar[dict[str, Any]] = {"bodies": True}

    def setUp(self) -> None:
        """Make them."""
        self.patch(PasswordHash, "decoy", lambda: PasswordHash.of(b"-", CHEAP))
        super().setUp()
        self.access = self.harness.factory.access
        self.password = PasswordHash.of(b"pass:word", CHEAP)
        self.ops = user(
            "ops",
            Rights(server=ROLES["admin"]),
            password=self.password,
            certificates=frozenset(["CN=ops"]),
        )
        self.eye = user("eye", Rights(server=ROLES["monitor"]))
        self.shop = user("shop", Rights([b"orders.*"], [b"mails"], [b"own"]))
        self.replace(self.ops, self.eye, self.shop)

    def replace(self, *users: User) -> None:
        """Let there be these users, as if they were read again."""
        self.access.replace(Users(users))

    def asked(
        self, who: str, path: str, method: str = "GET", fields: object = None
    ) -> tuple[int, Any]:
        """Return status and JSON of the reply to a user; "" for nobody."""
        lines: Iterable[str] = [bearer(who * 2)] if who else []
        reply = self.call(path, method, fields, *lines)
        return reply.code, json.loads(reply.body)
