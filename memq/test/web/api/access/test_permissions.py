"""Permissions: each route of the API, asked for with each right and with none."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from memq.access.needs import COMMANDS, ROUTES, TOPICS, Need
from memq.access.rights import MANAGE, MONITOR, READ, SEE, WRITE, Rights
from memq.test.web.api.access.base import AccessTestCase, bearer, user
from memq.web.http.routes import Route
from memq.wire import commands as wire
from memq.wire import extensions as dialect
from memq.wire.rules.grammar import ListRules, SetRule, UnsetRule

#: How each route is asked for: its path behind /api/v1, and its body.
ASKED: dict[tuple[str, str], tuple[str, object]] = {
    ("GET", "/api/v1/me"): ("/me", None),
    ("POST", "/api/v1/login"): ("/login", {}),
    ("DELETE", "/api/v1/login"): ("/login", {}),
    ("GET", "/api/v1/server"): ("/server", None),
    ("GET", "/api/v1/queues"): ("/queues", None),
    ("GET", "/api/v1/queues/{queue}"): ("/queues/q", None),
    ("GET", "/api/v1/queues/{queue}/messages"): ("/queues/q/messages", None),
    ("POST", "/api/v1/queues/{queue}/messages"): ("/queues/q/messages", {"text": "x"}),
    ("POST", "/api/v1/queues/{queue}/pause"): ("/queues/q/pause", {"reads": True}),
    ("POST", "/api/v1/queues/{queue}/resume"): ("/queues/q/resume", {}),
    ("POST", "/api/v1/queues/{queue}/flush"): ("/queues/q/flush", {"confirm": "q"}),
    ("POST", "/api/v1/queues/{queue}/move"): ("/queues/q/move", {"to": "t"}),
    ("POST", "/api/v1/queues/{queue}/redrive"): ("/queues/q/redrive", {}),
    ("DELETE", "/api/v1/queues/{queue}"): ("/queues/q", {"confirm": "q"}),
    ("GET", "/api/v1/connections"): ("/connections", None),
    ("GET", "/api/v1/rules"): ("/rules", None),
    ("DELETE", "/api/v1/connections/{id}"): ("/connections/1", None),
    ("PUT", "/api/v1/rules/{pattern}"): ("/rules/q", {"max_items": 9}),
    ("DELETE", "/api/v1/rules/{pattern}"): ("/rules/q", None),
    ("POST", "/api/v1/reload"): ("/reload", {}),
}
#: Those that are streams.
STREAMS = {
    ("GET", "/api/v1/events"): "/events?queues=q",
    ("GET", "/api/v1/log"): "/log",
}
#: What a route with enough rights may answer: rules cannot be kept here, and there is
#: no connection.
SERVED = (200, 404, 409)
#: The queue that stands in each field of ASKED.
QUEUES = {"queue": b"q", "to": b"t"}


def rightsFor(needs: tuple[Need, ...]) -> Rights:
    """Return rights that are just enough."""
    some: dict[int, list[bytes]] = {WRITE: [], READ: [], MANAGE: []}
    server = 0
    for need in needs:
        if not need.field:
            server |= 0 if need.filters else need.right
        else:
            # Any right lets see it.
            right = READ if need.right == SEE else need.right
            some[right].append(QUEUES[need.field])
    return Rights(some[WRITE], some[READ], some[MANAGE], server)


def almost(need: Need) -> Rights:
    """Return all rights but one, or none for the queue where any will do."""
    write, read, manage = (
        (b"*",) if need.right != each or not need.field else ()
        for each in (WRITE, READ, MANAGE)
    )
    if need.right == SEE:
        write, read, manage = (b"other",), (b"other",), (b"other",)
    server = 0 if need == Need(MONITOR) or need.right == SEE else MONITOR
    return Rights(write, read, manage, server)


class RouteTests(AccessTestCase):
    """All routes."""

    def setUp(self) -> None:
        """Have messages."""
        super().setUp()
        self.push(b"q", b"1", b"2")

    def dump(self) -> Any:
        """Return all that a refusal must not change."""
        store = self.store
        rows = [store.detail(name) for name in sorted(store.names())]
        return rows, self.harness.policies.rules, len(self.harness.factory.connections)

    def status(self, who: str, key: tuple[str, str], *more: str) -> int:
        """Return the status of the reply to a route."""
        if key not in STREAMS:
            path, fields = ASKED[key]
            lines = [bearer(who * 2)] if who else []
            return self.call(path, key[0], fields, *lines).code
        visitor = self.visitor()
        lines = [bearer(who * 2)] if who else []
        visitor.request(f"/api/v1{STREAMS[key]}", key[0], *lines)
        reply = visitor.read()
        return int(reply.split(b" ")[1])

    def test_known(self) -> None:
        """Each route is tried here."""
        self.assertEqual({*ASKED, *STREAMS}, set(ROUTES))

    def test_nobody(self) -> None:
        """Nobody is told anything without a word, and nothing changes."""
        before = self.dump()
        for key in ROUTES:
            self.assertEqual(self.status("", key), 401, key)
        self.assertEqual(self.dump(), before)

    def test_enough(self) -> None:
        """With just the right that it needs, each is answered."""
        for key, needs in ROUTES.items():
            self.replace(user("u", rightsFor(needs)))
            self.assertIn(self.status("u", key), SERVED, key)

    def test_refused(self) -> None:
        """With all rights but one, each is refused, and nothing changes."""
        for key, needs in ROUTES.items():
            before = self.dump()
            for need in needs:
                if not need.filters:
                    self.replace(user("u", almost(need)))
                    self.assertEqual(self.status("u", key), 403, (key, need))
            if not any(need.filters for need in needs):
                self.assertEqual(self.dump(), before, key)

    def test_other(self) -> None:
        """Rights for other queues are none for this one."""
        for key, needs in ROUTES.items():
            if any(need.field for need in needs):
                self.replace(user("u", almost(Need(SEE, "queue"))))
                self.assertEqual(self.status("u", key), 403, key)

    def test_admin(self) -> None:
        """An admin may do everything; a route that is new, nobody else may."""
        for key in ROUTES:
            self.assertIn(self.status("ops", key), SERVED, key)
        (api,) = [
            each for path, each in self.site.resource.children.items() if path == b"api"
        ]
        new = Route("GET", "/api/v1/new", lambda call: {})
        api._paths[b"api", b"v1", b"new"] = {"GET": new}
        self.assertEqual(self.asked("ops", "/new"), (200, {}))
        words = {"error": "user eye is no admin"}
        self.assertEqual(self.asked("eye", "/new"), (403, words))


class FilterTests(AccessTestCase):
    """Lists and streams: users see what they may see."""

    settings: ClassVar[dict[str, Any]] = {"actions": "anyone"}

    def setUp(self) -> None:
        """Have queues, of which the shop may see four."""
        super().setUp()
        for name in (b"mails", b"orders.a", b"orders.b", b"own", b"p", b"z"):
            self.push(name, b"x")

    def names(self, who: str, query: str = "") -> tuple[int, list[str]]:
        """Return the total and the names of a list."""
        code, told = self.asked(who, f"/queues{query}")
        self.assertEqual(code, 200)
        return told["total"], [each["name"] for each in told["queues"]]

    def test_list(self) -> None:
        """A list has the queues for which somebody has a right, and no others."""
        seen = ["mails", "orders.a", "orders.b", "own"]
        self.assertEqual(self.names("shop"), (4, seen))
        self.assertEqual(self.names("shop", "?match=o*&order=desc"), (3, seen[:0:-1]))
        self.assertEqual(self.names("shop", "?match=p"), (0, []))
        for who in ("eye", "ops"):
            self.assertEqual(self.names(who)[0], 6)
        self.replace(user("none", Rights()))
        self.assertEqual(self.names("none"), (0, []))

    def test_pages(self) -> None:
        """Its pages are pages of those."""
        _, told = self.asked("shop", "/queues?limit=3")
        self.assertEqual([each["name"] for each in told["queues"]][-1], "orders.b")
        _, told = self.asked("shop", f"/queues?limit=3&after={told['next']}")
        self.assertEqual([each["name"] for each in told["queues"]], ["own"])
        self.assertIsNone(told["next"])

    def test_may(self) -> None:
        """A queue tells what somebody may do with it."""
        for who, queue, may in (
            ("shop", "mails", ["read"]),
            ("shop", "own", ["manage"]),
            ("eye", "own", []),
            ("ops", "own", ["write", "read", "manage"]),
        ):
            self.assertEqual(self.asked(who, f"/queues/{queue}")[1]["may"], may)

    def test_words(self) -> None:
        """A refusal says which right is missing."""
        for path, method, fields, words in (
            ("/queues/p", "GET", None, "user shop has no right for queue p"),
            (
                "/queues/p/messages",
                "GET",
                None,
                "user shop has no right read for queue p",
            ),
            (
                *("/queues/own/move", "POST", {"to": "p"}),
                "user shop has no right write for queue p",
            ),
            ("/rules", "GET", None, "user shop is no monitor"),
            ("/reload", "POST", {}, "user shop is no admin"),
        ):
            told = self.asked("shop", path, method, fields)
            self.assertEqual(told, (403, {"error": words}))

    def test_totals(self) -> None:
        """What all queues have together is told to those who see all."""
        path = "/server?history=1"
        for who, count in (("shop", None), ("eye", 6), ("ops", 6)):
            code, told = self.asked(who, path)
            self.assertEqual(
                (code, told["queues"], told["messages"]), (200, *[count] * 2)
            )
            self.assertEqual(told["waiters"], None if count is None else 0)
            self.assertEqual(told["history"]["step"], 5)
        self.web.recorder.start()
        self.harness.pass_(10)
        for who, isTold in (("shop", False), ("ops", True)):
            history = self.asked(who, path)[1]["history"]
            self.assertEqual(any(history["messages"]), isTold)
        self.assertIsNone(self.asked("shop", "/server")[1]["in"])

    def test_events(self) -> None:
        """Ticks have those queues only, and end when users are read again."""
        visitor = self.visitor()
        path = "/api/v1/events?queues=p,own,z"
        visitor.request(path, "GET", bearer("shopshop"))
        first = visitor.read()
        self.assertIn(b'"name":"own"', first)
        self.assertNotIn(b'"name":"p"', first)
        self.assertIn(b'"messages":null', first)
        eye = self.visitor()
        eye.request(path, "GET", bearer("eyeeye"))
        self.assertIn(b'"messages":6', eye.read())
        self.assertFalse(visitor.transport.disconnecting)
        self.replace(self.ops)
        self.assertTrue(visitor.transport.disconnecting)
        visitor = self.visitor()
        visitor.request(path, "GET", bearer("shopshop"))
        self.harness.pass_(1)
        self.assertIn(b"401 Unauthorized", visitor.read())


class ActionsTests(AccessTestCase):
    """Whether something may be changed at all."""

    def acts(self) -> tuple[int, Any, Any]:
        """Return what comes of an action, and what is said of actions."""
        code, _ = self.asked("ops", "/queues/q/messages", "POST", {"text": "x"})
        told = [self.asked("ops", path)[1]["actions"] for path in ("/server", "/me")]
        return code, *told

    def test_users(self) -> None:
        """With users they may, as soon as there are some."""
        self.assertEqual(self.acts(), (200, True, True))
        self.replace()
        self.assertEqual(self.acts(), (403, False, False))

    def test_audited(self) -> None:
        """The audit has the user."""
        events: list[Any] = []
        self.patch(self.harness.factory.audit, "_publish", events.append)
        self.push(b"own", b"x")
        for path in ("/queues/own/pause", "/rules/x"):
            method = "PUT" if path[1] == "r" else "POST"
            fields = {"max_items": 3} if path[1] == "r" else {"reads": True}
            self.asked("ops", path, method, fields)
        self.assertEqual([each["user"] for each in events], ["ops", "ops"])
        self.assertIn("(http, ops) pause own", events[0]["line"])


class NeverTests(ActionsTests):
    """Where actions are off for all."""

    settings: ClassVar[dict[str, Any]] = {"actions": "never"}

    def test_users(self) -> None:
        """Nobody changes anything."""
        self.assertEqual(self.acts(), (403, False, False))

    def test_audited(self) -> None:
        """Nothing is audited."""
        events: list[Any] = []
        self.patch(self.harness.factory.audit, "_publish", events.append)
        self.asked("ops", "/queues/own/pause", "POST", {"reads": True})
        self.assertEqual(events, [])


#: The command that does the same as a route.
SAME: dict[tuple[str, str], type] = {
    ("GET", "/api/v1/queues"): dialect.DumpStats,
    ("GET", "/api/v1/events"): dialect.DumpStats,
    ("GET", "/api/v1/queues/{queue}"): wire.Describe,
    ("GET", "/api/v1/queues/{queue}/messages"): dialect.Peek,
    ("POST", "/api/v1/queues/{queue}/messages"): wire.Set,
    ("POST", "/api/v1/queues/{queue}/pause"): dialect.Pause,
    ("POST", "/api/v1/queues/{queue}/resume"): dialect.Resume,
    ("POST", "/api/v1/queues/{queue}/flush"): dialect.Flush,
    ("POST", "/api/v1/queues/{queue}/move"): dialect.Move,
    ("POST", "/api/v1/queues/{queue}/redrive"): dialect.Redrive,
    ("DELETE", "/api/v1/queues/{queue}"): wire.Delete,
    ("GET", "/api/v1/rules"): ListRules,
    ("PUT", "/api/v1/rules/{pattern}"): SetRule,
    ("DELETE", "/api/v1/rules/{pattern}"): UnsetRule,
    ("DELETE", "/api/v1/connections/{id}"): dialect.Kill,
    ("POST", "/api/v1/reload"): dialect.Reload,
}
#: Routes without a command; the topics of stats that are like two of them.
OTHERS = {
    ("GET", "/api/v1/me"): (),
    ("POST", "/api/v1/login"): (),
    ("DELETE", "/api/v1/login"): (),
    ("GET", "/api/v1/server"): TOPICS[b""],
    ("GET", "/api/v1/connections"): TOPICS[b"conns"],
    ("GET", "/api/v1/log"): (Need(MONITOR),),
}


class SameTests(SynchronousTestCase):
    """HTTP and the protocols of memcached."""

    def test_same(self) -> None:
        """A route needs the rights that its command needs."""
        self.assertEqual({*SAME, *OTHERS}, set(ROUTES))
        for key, needs in ROUTES.items():
            others = COMMANDS[SAME[key]] if key in SAME else OTHERS[key]
            found = [(need.right, bool(need.field), need.filters) for need in needs]
            same = [(need.right, bool(need.field), need.filters) for need in others]
            self.assertEqual(found, same, key)
