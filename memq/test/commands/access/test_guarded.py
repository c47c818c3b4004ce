"""Guarded commands: what a user may do, and what becomes of it when that changes."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.logger import (
    ILogObserver,
    capturedLogs,
    formatEvent,
    globalLogPublisher,
)
from zope.interface import implementer

from memq.access.admission import Admission
from memq.access.rights import ROLES, Rights
from memq.access.users import User, Users
from memq.logs.audit import Audit
from memq.message import PART_SIZE
from memq.test.support.harness import Client, Harness
from memq.test.support.packets import OPCODES, packet
from memq.test.support.readers import rules
from memq.test.support.sessions import VERSION
from memq.test.support.stepped import SteppedTestCase

NOT_ALLOWED = b"CLIENT_ERROR not allowed\r\n"
BOTH = Rights(write=[b"[ab]"], read=[b"[ab]"], manage=[b"[ab]"])
#: The same, but for one right.
NO_WRITE = Rights(read=[b"[ab]"], manage=[b"[ab]"])
NO_READ = Rights(write=[b"[ab]"], manage=[b"[ab]"])
NO_MANAGE = Rights(write=[b"[ab]"], read=[b"[ab]"])


class GuardedTestCase(SteppedTestCase):
    """A server, and a client with rights."""

    options: dict[str, Any] = {}  # noqa: RUF012 - not changed

    def setUp(self) -> None:
        """Connect."""
        self.harness = Harness(**self.options)
        self.client = self.harness.connect(rights=BOTH)
        self.client.talk(
            b"set a 0 0 1\r\nx\r\nset a 0 0 1\r\ny\r\nset b 0 0 1\r\nz\r\n"
        )

    def change(self, rights: Rights, client: Client | None = None) -> None:
        """Give a client other rights."""
        protocol = (client or self.client).protocol
        protocol._commands.changeRights(rights)
        self.harness.settle()

    def goesOn(self, client: Client | None = None) -> bool:
        """Return whether a connection is not cut off."""
        return not (client or self.client).transport.disconnected


class BodyTests(GuardedTestCase):
    """Bodies of sets that are not allowed."""

    def test_thrownAway(self) -> None:
        """A body that comes in pieces takes no room, and no part of it is stored."""
        size = 10 * PART_SIZE
        self.client.talk(b"set c 0 0 %d\r\n" % size)
        for _ in range(10):
            self.client.talk(b"x" * PART_SIZE)
            self.assertEqual(self.harness.broker.budget.reserved, 0)
            self.assertEqual(self.harness.broker.budget.held, 0)
            self.assertLess(len(self.client.protocol.receiver.collected), 3)
            self.assertEqual(self.harness.store.parts, {})
        self.assertEqual(self.client.talk(b"\r\nget b\r\n")[:26], NOT_ALLOWED)

    def test_joined(self) -> None:
        """What is not allowed joins nothing, and nothing joins it."""
        one, other = b"set a 0 0 1\r\nx\r\n", b"set c 0 0 1\r\nx\r\n"
        got = self.client.talk(one * 2 + other * 3 + one * 2)
        self.assertEqual(got, b"STORED\r\n" * 2 + NOT_ALLOWED * 3 + b"STORED\r\n" * 2)
        get = b"get %b\r\n"
        got = self.client.talk(get % b"c" * 3 + get % b"b" + get % b"c" * 2)
        value = b"VALUE b 0 1\r\nz\r\nEND\r\n"
        self.assertEqual(got, NOT_ALLOWED * 3 + value + NOT_ALLOWED * 2)

    def test_noEnd(self) -> None:
        """A body without an end closes the connection, allowed or not."""
        for line in (b"set c 0 0 1\r\nxyz", b"add c 0 0 1\r\n1yz"):
            client = self.harness.connect(rights=BOTH)
            self.assertEqual(client.talk(line), b"CLIENT_ERROR bad data chunk\r\n")
            self.assertTrue(client.isClosed)
        client = self.harness.connect(rights=BOTH)
        client.talk(b"set c 0 0 9\r\nxy")
        self.assertEqual(client.talk(b"z" * 9), NOT_ALLOWED)
        self.assertTrue(client.isClosed)

    def test_lostMeanwhile(self) -> None:
        """A right that is lost while a body comes cuts the connection off."""
        for size in (10, 3 * PART_SIZE):
            client = self.harness.connect(rights=BOTH)
            client.talk(b"set a 0 0 %d\r\n" % size + b"x" * (size - 5))
            self.change(NO_WRITE, client)
            self.assertFalse(self.goesOn(client))
            client.end()
            self.assertEqual(self.harness.broker.budget.reserved, 0)
            self.assertEqual(self.harness.store.parts, {})

    def test_lostAtTheEnd(self) -> None:
        """What comes in the same moment is refused, and its parts are forgotten."""
        for size in (10, 3 * PART_SIZE):
            client = self.harness.connect(rights=BOTH)
            client.talk(b"set a 0 0 %d\r\n" % size + b"x" * (size - 5))
            client.protocol._commands.rights = NO_WRITE
            self.assertEqual(client.talk(b"x" * 5 + b"\r\n"), NOT_ALLOWED)
            self.assertEqual(self.harness.store.parts, {})
            # One that does not end is abandoned anyway.
            client.protocol._commands.rights = BOTH
            client.talk(b"set a 0 0 %d\r\n" % size + b"x" * (size - 5))
            client.protocol._commands.rights = NO_WRITE
            got = client.talk(b"x" * 7)
            self.assertEqual(got, b"CLIENT_ERROR bad data chunk\r\n")
            self.assertEqual(self.harness.store.parts, {})

    def test_gained(self) -> None:
        """A body that is thrown away stays so, whatever is gained meanwhile."""
        self.client.talk(b"set c 0 0 %d\r\n" % PART_SIZE)
        self.change(Rights(write=[b"*"]))
        self.client.talk(b"x" * PART_SIZE)
        self.assertEqual(self.client.talk(b"\r\n"), NOT_ALLOWED)


class ChangedTests(GuardedTestCase):
    """Rights that are others after a reload."""

    def test_atOnce(self) -> None:
        """The next command is held to the new ones."""
        self.change(NO_WRITE)
        self.assertEqual(self.client.talk(b"set a 0 0 1\r\nx\r\n"), NOT_ALLOWED)
        self.change(BOTH)
        self.assertEqual(self.client.talk(b"set a 0 0 1\r\nx\r\n"), b"STORED\r\n")
        self.assertTrue(self.goesOn())

    def test_openReads(self) -> None:
        """Who has a message open that it may not read any more is cut off."""
        self.client.talk(b"get a/open\r\n")
        self.change(Rights(read=[b"a"]))
        self.assertFalse(self.goesOn())
        self.client.end()
        self.assertEqual(self.harness.store.dump(), "a 2/0: x y\nb 1/0: z")

    def test_closed(self) -> None:
        """Who has closed all goes on."""
        self.client.talk(b"get a/open\r\nget a/close\r\nget b/open\r\n")
        self.change(Rights(write=[b"b"], read=[b"b"], manage=[b"b"]))
        self.assertTrue(self.goesOn())
        self.assertEqual(self.client.talk(b"get b/close\r\n"), b"END\r\n")

    def test_waits(self) -> None:
        """A wait ends, with its connection, and takes no message."""
        for line in (b"get n/t=5000", b"get a/any n/any/t=5000", b"monitor n 5"):
            rights = Rights(read=[b"[na]"], write=[b"[na]"])
            client = self.harness.connect(rights=rights)
            client.talk(b"get a a\r\n")
            client.talk(line + b"\r\n")
            self.change(Rights(read=[b"a"], write=[b"a"]), client)
            self.assertFalse(self.goesOn(client), line)
            client.end()
            self.assertEqual(self.harness.broker.waiting, 0)

    def test_waitsForAnother(self) -> None:
        """A wait for another queue goes on."""
        self.client.talk(b"get b\r\nget b/t=5000\r\n")
        self.change(Rights(write=[b"b"], read=[b"b"], manage=[b"b"]))
        self.harness.connect().talk(b"set b 0 0 1\r\nn\r\n")
        self.assertEqual(self.client.read(), b"VALUE b/t=5000 0 1\r\nn\r\nEND\r\n")

    def test_manyNames(self) -> None:
        """A get of many names ends in the middle."""
        names = b" ".join([b"a", *[b"%d" % number for number in range(3000)]])
        for rights, goesOn in ((Rights(read=[b"[0-9]*"]), True), (BOTH, False)):
            client = self.harness.connect(rights=Rights(read=[b"*"]))
            client.send(b"get %b\r\n" % names)
            client.protocol.session.inbox.clear()
            client.protocol._commands.changeRights(rights)
            self.harness.reactor.advance(0)
            self.assertEqual(self.goesOn(client), goesOn)
            self.harness.clients.remove(client)
            client.leave()

    def test_moves(self) -> None:
        """A move ends that is under way, by either of its queues."""
        for rights in (NO_WRITE, NO_MANAGE):
            client = self.harness.connect(rights=BOTH)
            client.send(b"move a b\r\n")
            client.protocol._commands.changeRights(rights)
            self.harness.reactor.advance(0)
            self.assertFalse(self.goesOn(client))
            client.end()

    def test_server(self) -> None:
        """Who is no admin any more imports nothing, and goes on else."""
        admin = Rights(server=ROLES["admin"])
        for isImporting in (True, False):
            client = self.harness.connect(rights=admin)
            if isImporting:
                client.talk(b"import begin %b\r\n" % (b"0" * 32))
            self.change(Rights([b"*"], [b"*"], [b"*"]), client)
            self.assertEqual(self.goesOn(client), not isImporting)

    def test_itself(self) -> None:
        """Who has asked for that gets its answer before it is cut off."""
        self.client.talk(b"get a/open\r\n")
        self.client.protocol._commands.changeRights(NO_READ)
        self.assertTrue(self.goesOn())
        self.harness.settle()
        self.assertFalse(self.goesOn())


class ReloadTests(SteppedTestCase):
    """Users that are read again, with connections of listeners that are one."""

    def setUp(self) -> None:
        """Connect as a user with an open read."""
        self.harness = Harness()
        self.harness.store.fill(b"a", b"x")
        self.read(Rights(write=[b"b"], read=[b"a"]))
        self.client = self.harness.connect(admission=Admission("shop"))
        found = b"VALUE a/open 0 1\r\nx\r\nEND\r\n"
        self.assertEqual(self.client.talk(b"get a/open\r\n"), found)

    def read(self, rights: Rights) -> None:
        """Read users again."""
        self.harness.access.replace(Users([User("shop", rights)]))
        self.harness.settle()

    def test_same(self) -> None:
        """Where nothing is lost, all goes on."""
        self.read(Rights(write=[b"b"], read=[b"*"]))
        self.assertFalse(self.client.isClosed)
        sent = b"get a/close\r\nget b\r\n"
        self.assertEqual(self.client.talk(sent), b"END\r\n" * 2)

    def test_lost(self) -> None:
        """Where that is lost which is under way, the connection is."""
        self.read(Rights(write=[b"b"]))
        self.assertTrue(self.client.isClosed)
        self.client.end()
        self.assertEqual(self.harness.store.dump(), "a 1/0: x")
        self.assertEqual(self.harness.broker.waiting, 0)

    def test_another(self) -> None:
        """Where something else is lost, the next command for that is refused."""
        self.read(Rights(read=[b"a"]))
        self.assertFalse(self.client.isClosed)
        sent = b"set b 0 0 1\r\nx\r\nget a/close\r\n"
        self.assertEqual(self.client.talk(sent), NOT_ALLOWED + b"END\r\n")

    def test_demoted(self) -> None:
        """An admin that is none any more may do what it may, and no more."""
        self.read(Rights(server=ROLES["admin"]))
        self.assertEqual(self.client.talk(b"stats reset\r\n"), b"RESET\r\n")
        self.client.talk(b"get a/close\r\n")
        self.read(Rights(server=ROLES["monitor"]))
        sent = b"stats reset\r\nget a\r\nversion\r\n"
        self.assertEqual(self.client.talk(sent), NOT_ALLOWED * 2 + VERSION)


class RuleTests(SteppedTestCase):
    """Rules act as the server."""

    def test_handedOn(self) -> None:
        """Who sets, or reads in vain, needs no right for where messages go then."""
        harness = Harness(
            rules=rules(
                a={"fanout": [b"hidden"], "max_deliveries": 1, "dead_letter": b"dead"}
            )
        )
        client = harness.connect(rights=Rights([b"a"], [b"a"], [b"dead"]))
        self.assertEqual(client.talk(b"set a 0 0 1\r\nx\r\n"), b"STORED\r\n")
        client.talk(b"get a/open\r\nget a/abort\r\n")
        self.assertEqual(harness.store.dump(), "a 1/1:\ndead 1/0: x\nhidden 1/0: x")
        self.assertEqual(client.talk(b"get hidden\r\nget dead\r\n"), NOT_ALLOWED * 2)
        # Back to a, where it once was.
        self.assertEqual(client.talk(b"redrive dead\r\n"), b"MOVED 1\r\n")
        large = b"set a 0 0 %d\r\n%b\r\n" % (2 * PART_SIZE, b"x" * 2 * PART_SIZE)
        self.assertEqual(client.talk(large), b"STORED\r\n")
        self.assertEqual(client.talk(b"peek hidden\r\n"), NOT_ALLOWED)


class TailTests(GuardedTestCase):
    """Tails show what may be read."""

    def test_filtered(self) -> None:
        """Of what is set to all, its user sees what it may read, at each time."""
        self.client.talk(b"tail *\r\n")
        other = self.harness.connect()
        other.talk(b"set a 0 0 1\r\n1\r\nset c 0 0 1\r\n2\r\n")
        self.assertEqual(self.client.read(), b"VALUE a 0 1 2\r\n1\r\n")
        self.change(Rights(read=[b"c"]))
        other.talk(b"set a 0 0 1\r\n3\r\nset c 0 0 1\r\n4\r\n")
        self.assertEqual(self.client.read(), b"VALUE c 0 1 1\r\n4\r\n")
        self.assertTrue(self.goesOn())


class LoggedTests(GuardedTestCase):
    """What is refused is logged as what is done is."""

    options = {"verbosity": 2}  # noqa: RUF012

    def test_traced(self) -> None:
        """With -vv each command that is refused is there, and that it was."""
        said: list[str] = []

        @implementer(ILogObserver)
        def note(event: Any) -> None:
            said.append(formatEvent(event))

        globalLogPublisher.addObserver(note)
        self.addCleanup(partial(globalLogPublisher.removeObserver, note))
        self.client.talk(b"set c 0 0 1\r\nx\r\nget c\r\nget none\r\n")
        text = "\n".join(said)
        for words in ("set c", "get c", "is told: CLIENT_ERROR not allowed"):
            self.assertIn(words, text)
        self.client.protocol._commands.rights = Rights(read=[b"*"])
        self.client.talk(b"get n\r\n")
        self.assertIn("get n", said[-1])

    def test_counted(self) -> None:
        """They are counted, and a minute has a line of them, without -v as well."""
        with capturedLogs() as events:
            self.client.talk(b"get c\r\n" * 3)
            self.client.talk(b"set c 0 0 9\r\nxy")
            self.client.talk(b"z" * 7 + b"\r\n")
            self.harness.pass_(61)
            self.client.talk(b"delete c\r\n")
        self.assertEqual(self.harness.access.notAllowed, 5)
        found = [formatEvent(event) for event in events if "count" in event]
        self.assertEqual(
            found,
            [
                f"Commands refused, for which a user has no right: {count}, the last "
                "one of 192.168.1.1:54321; -v tells of each"
                for count in (1, 4)
            ],
        )

    def test_audited(self) -> None:
        """The audit has what was managed in vain."""
        lines: list[dict[str, Any]] = []
        audit: Any = Audit(lambda: 0.0)
        audit.note = lambda *words, **more: lines.append({"words": words[1:], **more})
        self.harness.factory.audit = audit
        self.client.talk(b"delete c\r\nadd c 0 0 1\r\n5\r\nkill 1\r\nget c\r\n")
        found = [(*each["words"], each["error"]) for each in lines]
        words = "CLIENT_ERROR not allowed"
        self.assertEqual(
            found,
            [
                ("delete", b"c", words, words),
                ("add", b"c", words, words),
                ("kill", None, words, words),
            ],
        )


class PacketTests(GuardedTestCase):
    """Packets that are alike."""

    def test_joined(self) -> None:
        """Each request of a run has its own response."""
        sent = b"".join(
            packet(OPCODES["Get"], queue, opaque=number)
            for number, queue in enumerate((b"c", b"c", b"a", b"c"))
        )
        client = self.harness.connect(rights=BOTH)
        got = client.talk(sent)
        refusal = [
            packet(0, value=b"not allowed", opaque=n, status=0x20, magic=0x81)
            for n in (0, 1, 3)
        ]
        found = packet(0, value=b"x", extras=bytes(4), opaque=2, magic=0x81)
        self.assertEqual(got, refusal[0] + refusal[1] + found + refusal[2])
