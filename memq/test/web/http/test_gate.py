"""The gate: who is known by what, when it is told, and what that costs."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred

from memq.access.authenticator import SUCCESS
from memq.access.rights import Rights
from memq.test.web.api.access.base import AccessTestCase, basic, bearer
from memq.test.web.base import Reply, Visitor
from memq.web.http.gate import KEPT_SECONDS, WAITING

ME = "/api/v1/me"


class GateTestCase(AccessTestCase):
    """Asks who is there."""

    def setUp(self) -> None:
        """Let passwords be compared when a test says so."""
        super().setUp()
        self.compared = 0
        self.jobs: list[Any] = []
        self.patch(self.access.authenticator, "_defer", self.defer)

    def defer(self, call: Any, secret: bytes) -> Any:
        """Compare a password later."""
        done: Deferred[bool] = Deferred()
        self.jobs.append((done, call, secret))
        return done

    def compare(self) -> None:
        """Compare the next one."""
        done, call, secret = self.jobs.pop(0)
        self.compared += 1
        done.callback(call(secret))

    def begin(self, *lines: str, visitor: Visitor | None = None) -> Visitor:
        """Ask, and return who asks."""
        visitor = visitor or self.visitor()
        visitor.request(ME, "GET", *lines)
        return visitor

    def reply(self, visitor: Visitor) -> Reply:
        """Return what somebody was answered."""
        return Reply(visitor.read(), "GET")

    def code(self, *lines: str, visitor: Visitor | None = None) -> int:
        """Return the status of a reply that comes at once."""
        return self.reply(self.begin(*lines, visitor=visitor)).code

    def fail_(self, *lines: str, visitor: Visitor | None = None) -> Reply:
        """Check that a failure takes half a second, and return the reply."""
        visitor = self.begin(*lines, visitor=visitor)
        self.harness.reactor.advance(0.49)
        self.assertEqual(visitor.read(), b"")
        self.harness.reactor.advance(0.01)
        return self.reply(visitor)


class WhoTests(GateTestCase):
    """Who is known."""

    def test_open(self) -> None:
        """Without users nobody is asked, whatever is said."""
        self.replace()
        for lines in ((), (bearer("x"),), (basic("ops", "x"),)):
            self.assertEqual(self.code(*lines), 200)

    def test_tokens(self) -> None:
        """A token is known at once: alone, or in the place of a password."""
        self.assertEqual(self.code(bearer("shopshop")), 200)
        self.assertEqual(self.code(basic("shop", "shopshop")), 200)
        self.assertEqual(self.jobs, [])

    def test_missing(self) -> None:
        """Who says nothing is told how to, at once; a page asks a person itself."""
        for lines, challenge in (
            ((), 'Basic realm="memq", charset="UTF-8"'),
            (("X-Requested-With: memq",), 'Bearer realm="memq"'),
        ):
            reply = self.reply(self.begin(*lines))
            self.assertEqual(reply.code, 401)
            self.assertEqual(reply.headers["WWW-Authenticate"], challenge)
            self.assertEqual(reply.text, '{"error":"say who you are"}\n')

    def test_wrong(self) -> None:
        """What is wrong is so after half a second, and the third time is the last."""
        wrong = bearer("wrong"), basic("shop", "x"), "Authorization: Digest x"
        self.replace(self.shop)
        visitor = self.visitor()
        for place, line in enumerate(wrong):
            reply = self.fail_(line, visitor=visitor)
            self.assertEqual(reply.code, 401)
            self.assertEqual(
                reply.text, '{"error":"the user or the secret is wrong"}\n'
            )
            self.assertEqual(visitor.transport.disconnecting, place == 2)

    def test_twice(self) -> None:
        """Two headers are no one's."""
        two = bearer("shopshop"), bearer("shopshop")
        self.assertEqual(self.fail_(*two).code, 401)

    def test_certificate(self) -> None:
        """A certificate is a user's, as long as nothing else is said."""
        visitor = self.visitor()
        visitor.transport.peerNames = ("CN=ops",)
        self.assertEqual(self.code(visitor=visitor), 200)
        self.assertEqual(self.fail_(bearer("x"), visitor=visitor).code, 401)
        self.replace(self.shop)
        self.assertEqual(self.code(visitor=visitor), 401)

    def test_hidden(self) -> None:
        """No reply to a failure, and no figure, has what was said."""
        self.replace(self.shop)
        reply = self.fail_(basic("shop", "hunter2-grackle"))
        self.assertNotIn("grackle", f"{reply.text}{reply.headers}")


class PasswordTests(GateTestCase):
    """Passwords, which take long."""

    LINE = basic("ops", "pass:word")

    def test_once(self) -> None:
        """One is compared once, and counted once."""
        visitor = self.begin(self.LINE)
        self.assertEqual(visitor.read(), b"")
        self.compare()
        self.assertEqual(self.reply(visitor).code, 200)
        for _ in range(5):
            self.assertEqual(self.code(self.LINE), 200)
        self.assertEqual(self.compared, 1)
        self.assertEqual(self.access.authenticator.results[SUCCESS], 1)
        self.harness.reactor.advance(KEPT_SECONDS)
        self.begin(self.LINE)
        self.assertEqual(len(self.jobs), 1)

    def test_wrong(self) -> None:
        """A wrong one is compared each time, and late."""
        for _ in range(2):
            visitor = self.begin(basic("ops", "x"))
            self.compare()
            self.assertEqual(visitor.read(), b"")
            self.harness.reactor.advance(0.5)
            self.assertEqual(self.reply(visitor).code, 401)
        self.assertEqual(self.compared, 2)

    def test_reload(self) -> None:
        """It is compared again when the user has another one; rights are no matter."""
        visitor = self.begin(self.LINE)
        self.compare()
        visitor.read()
        self.replace(self.ops._replace(rights=Rights()))
        self.assertEqual(self.code(self.LINE), 200)
        self.replace(self.ops._replace(password=None), self.eye)
        self.assertEqual(self.fail_(self.LINE).code, 401)

    def test_meanwhile(self) -> None:
        """A user that is gone by the time is not let in."""
        visitor = self.begin(self.LINE)
        self.replace(self.shop)
        self.compare()
        self.harness.reactor.advance(0.5)
        self.assertEqual(self.reply(visitor).code, 401)

    def test_gone(self) -> None:
        """Who does not wait for the answer costs nothing more, and keeps no place."""
        for _ in range(WAITING + 2):
            visitor = self.begin(basic("ops", "x"))
            visitor.leave()
        self.compare()
        self.assertEqual(self.jobs, [])
        visitor = self.begin(self.LINE)
        self.compare()
        self.assertEqual(self.reply(visitor).code, 200)

    def test_answered(self) -> None:
        """Who leaves after the answer is no failure."""
        visitor = self.visitor()
        visitor.request("/api/v1/log", "GET", self.LINE)
        self.compare()
        self.assertIn(b"200 OK", visitor.read())
        visitor.leave()

    def begin(self, *lines: str, visitor: Visitor | None = None) -> Visitor:
        """Ask, each from another address."""
        self.hosts = getattr(self, "hosts", 0) + 1
        address = IPv4Address("TCP", f"10.0.0.{self.hosts}", 4000)
        other = Visitor(self.harness, self.site, address)
        self.addCleanup(other.leave)
        return super().begin(*lines, visitor=visitor or other)

    def test_many(self) -> None:
        """Of too many that wait, one more is refused; who is known is not."""
        self.assertEqual(self.code(bearer("shopshop")), 200)
        for _ in range(WAITING):
            self.begin(basic("ops", "x"))
        for line in (self.LINE, bearer("eyeeye")):
            reply = self.reply(self.begin(line))
            self.assertEqual((reply.code, reply.headers["Retry-After"]), (503, "1"))
            self.assertEqual(reply.text, '{"error":"too many wait to log in"}\n')
        self.assertEqual(self.code(bearer("shopshop")), 200)

    def test_address(self) -> None:
        """One address takes half of the places, and gives them back."""
        address = UNIXAddress("/s")
        visitors = []
        for _ in range(WAITING // 2 + 1):
            visitor = Visitor(self.harness, self.site, address)
            self.addCleanup(visitor.leave)
            visitors.append(self.begin(bearer("x"), visitor=visitor))
        self.assertEqual(self.reply(visitors[-1]).code, 503)
        self.assertEqual(self.code(bearer("eyeeye")), 200)
        self.harness.reactor.advance(0.5)
        for visitor in visitors[:-1]:
            self.assertEqual(self.reply(visitor).code, 401)
        visitor = Visitor(self.harness, self.site, address)
        self.addCleanup(visitor.leave)
        self.assertEqual(self.code(bearer("shopshop"), visitor=visitor), 200)
