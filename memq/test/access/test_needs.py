"""Needed rights: each command, topic and route has some, or is said to need none."""

from __future__ import annotations

from typing import Any, NamedTuple, get_args

from twisted.trial.unittest import SynchronousTestCase

from memq.access.needs import (
    COMMANDS,
    ROUTES,
    TOPICS,
    Need,
    allows,
    areEnough,
    needsOf,
)
from memq.access.rights import ADMIN, READ, ROLES, SEE, Rights
from memq.commands.handlers import MANAGING, VERBS
from memq.test.web.api.base import ApiTestCase
from memq.wire import commands as wire
from memq.wire import extensions as dialect
from memq.wire import foreign, text
from memq.wire.text import Command, parse
from memq.wire.words import Refused

#: What is free for everybody who may be there at all.
FREE = {
    *(
        wire.Stats,
        wire.Version,
        wire.Verbosity,
        wire.Quit,
        wire.Noop,
        wire.Claim,
        Refused,
    ),
    foreign.Foreign,
}
#: What only an admin may do.
RESERVED = (
    *("flush_all", "db_checkpoint", "db_archive", "reload", "kill 1", "stats reset"),
    *("rule set q max_items 1", "rule try q max_items 1", "rule unset q"),
    *("import begin " + "0" * 32, "import put YQ=="),
)
#: Queues that a line needs some right for, by the right.
LINES = {
    "write": ("set q 0 0 1", "set q/delay=5 0 0 1", "ms q 1", "add q 0 0 1"),
    "read": (
        *("get q", "gets q", "get q q", "get q/open", "get q/any q/any", "get q/peek"),
        *("get q/t=5 q", "delete q/open=1", "touch q/open=1 5", "peek q"),
        *("monitor q 1", "confirm q 1", "mg q v"),
    ),
    "manage": (
        *("delete q", "flush q", "pause q", "resume q", "redrive q", "md q"),
        "pause q reads",
    ),
    "see": ("me q", "stats peek q", "rule show q"),
}
#: What each right may be called with, of those.
RIGHTS = {
    "write": Rights(write=[b"q"]),
    "read": Rights(read=[b"q"]),
    "manage": Rights(manage=[b"q"]),
}


def flat(union: Any) -> set[type]:
    """Return the classes of a union."""
    return set().union(*map(flat, get_args(union))) if get_args(union) else {union}


class TableTests(SynchronousTestCase):
    """The tables have all that there is."""

    def test_commands(self) -> None:
        """Each command has its needs: those with a handler, and those with a body."""
        self.assertEqual(set(COMMANDS), {*VERBS, wire.Set, wire.Get, dialect.Add})
        self.assertLessEqual(flat(Command), set(COMMANDS))

    def test_fields(self) -> None:
        """The field of a need is one that the command has."""
        for command, needs in COMMANDS.items():
            for need in needs:
                if need.field:
                    self.assertIn(need.field, command._fields)  # type: ignore[attr-defined]

    def test_managing(self) -> None:
        """What is audited is free for nobody."""
        self.assertEqual({each for each, needs in COMMANDS.items() if not needs}, FREE)
        self.assertFalse(FREE & set(MANAGING))

    def test_topics(self) -> None:
        """Each topic that the grammar of stats knows has its needs."""
        words = {
            each for each in text.parseStats.__code__.co_consts if each is not None
        }
        words = {each for each in words if isinstance(each, bytes)}
        found = set()
        for word in (*words, *text._TOPICS, *text._EMPTY_TOPICS):
            for line in ([b"stats", word], [b"stats", word, b"q"], [b"stats"]):
                said = text.parseStats(line)
                if isinstance(said, wire.Stats):
                    found.add(said.topic)
        self.assertEqual(found, set(TOPICS))


class AllowsTests(SynchronousTestCase):
    """Commands, with and without the right."""

    def may(self, rights: Rights, line: str) -> bool:
        """Return whether a line may be said."""
        command = parse(line.encode())
        self.assertIsNot(type(command), Refused, line)
        return allows(rights, command)

    def test_rights(self) -> None:
        """Each right is for its commands, and for no others but those that only see."""
        nobody, admin = Rights(), Rights(server=ROLES["admin"])
        for need, lines in LINES.items():
            for line in lines:
                for right, rights in RIGHTS.items():
                    expected = need in (right, "see")
                    self.assertEqual(self.may(rights, line), expected, (line, right))
                self.assertFalse(self.may(nobody, line), line)
                self.assertTrue(self.may(admin, line), line)

    def test_severalQueues(self) -> None:
        """Who may not read one of several queues reads none of them."""
        rights = Rights(write=[b"r"], read=[b"q"])
        for line in ("get q r", "get q/open r/open", "get q/any r/any", "gets r"):
            self.assertFalse(self.may(rights, line), line)

    def test_move(self) -> None:
        """Who moves manages the one queue, and writes to the other."""
        self.assertTrue(self.may(Rights(write=[b"r"], manage=[b"q"]), "move q r"))
        for rights in (
            Rights(write=[b"r"]),
            Rights(manage=[b"q", b"r"]),
            Rights(write=[b"q"], manage=[b"r"]),
        ):
            self.assertFalse(self.may(rights, "move q r"))

    def test_server(self) -> None:
        """Some things are for admins, and what tells of the server for monitors."""
        everywhere = Rights([b"*"], [b"*"], [b"*"])
        monitor = Rights(server=ROLES["monitor"])
        for line in RESERVED:
            self.assertFalse(self.may(everywhere, line), line)
            self.assertFalse(self.may(monitor, line), line)
            self.assertTrue(self.may(Rights(server=ADMIN), line), line)
        for line in ("stats settings", "stats conns", "rule list"):
            self.assertFalse(self.may(everywhere, line), line)
            self.assertTrue(self.may(monitor, line), line)
        for line in ("me q", "stats peek q", "rule show q"):
            self.assertTrue(self.may(monitor, line), line)
        self.assertFalse(self.may(monitor, "peek q"))

    def test_filtered(self) -> None:
        """What tells of many queues is for everybody, of those that they see."""
        for line in ("stats queue", "stats detail", "dump_stats", "tail *"):
            self.assertTrue(self.may(Rights(), line), line)
            (need,) = needsOf(parse(line.encode()))
            self.assertTrue(need.filters)
            self.assertIn(need.right, (SEE, READ))

    def test_free(self) -> None:
        """Everybody may ask for the version, and such things."""
        for line in ("version", "stats", "stats items", "verbosity 1", "quit", "mn"):
            self.assertTrue(self.may(Rights(), line), line)

    def test_unknown(self) -> None:
        """What stands in no table is for admins."""

        class New(NamedTuple):
            queue: bytes

        for command in (New(b"q"), wire.Stats(b"new")):
            self.assertFalse(allows(Rights([b"*"], [b"*"], [b"*"]), command))
            self.assertTrue(allows(Rights(server=ADMIN), command))


class RouteTests(ApiTestCase):
    """Routes of the API."""

    settings = {"actions": "anyone"}  # noqa: RUF012 - not changed

    def test_routes(self) -> None:
        """Each route has its needs, of fields that it has."""
        routes = {
            (each.method, each.path): each
            for each in self.web._routes(self.harness.reactor)
        }
        self.assertEqual(set(routes), set(ROUTES))
        for key, needs in ROUTES.items():
            fields = {each.name for each in routes[key].fields}
            for need in needs:
                isThere = f"{{{need.field}}}" in key[1] or need.field in fields
                self.assertTrue(isThere or not need.field, key)

    def test_acting(self) -> None:
        """What changes something needs a right to do so."""
        for route in self.web._routes(self.harness.reactor):
            needs = ROUTES[route.method, route.path]
            acts = [n for n in needs if n.right != SEE and not n.filters]
            if route.acts:
                self.assertTrue(acts, route.path)

    def test_names(self) -> None:
        """Rights are asked for with what a path and a body say."""
        said = {"queue": b"q", "to": b"r"}
        needs = ROUTES["POST", "/api/v1/queues/{queue}/move"]
        for rights, isEnough in (
            (Rights(write=[b"r"], manage=[b"q"]), True),
            (Rights(manage=[b"q"]), False),
        ):
            names = [said[each.field] for each in needs]
            self.assertEqual(names, [b"q", b"r"])
            got = areEnough(rights, needs, lambda field: (said[field],))
            self.assertEqual(got, isEnough)
        self.assertFalse(areEnough(Rights(), (Need(ADMIN),), lambda field: ()))
