"""Each command, in every protocol and by every way, with and without its right.

A row that is missing is found by the tables of commands themselves.
"""

from __future__ import annotations

import re
from typing import Any

from memq.access.needs import TOPICS
from memq.access.rights import Rights
from memq.commands.handlers import VERBS
from memq.test.support.attempts import ATTEMPTS, Attempt, everything
from memq.test.support.harness import Client, Harness
from memq.test.support.homes import contents, opened
from memq.test.support.packets import HEADER, PROBE, PROBED, packet, split
from memq.test.support.readers import rules
from memq.test.support.sessions import VERSION
from memq.test.support.stepped import SteppedTestCase
from memq.wire import binary, foreign, meta, text
from memq.wire import commands as wire
from memq.wire.extensions import Add
from memq.wire.words import Refused

#: Words of text that nobody may say, whatever rights there are.
_REFUSED = {*foreign.PARSERS, b"replace", b"append", b"prepend", b"cas", b"ma"}
_OPEN = b"get a/open\r\n"
_OPEN_PACKET = packet(binary.GET, b"a/open")


def commandOf(attempt: Attempt) -> Any:
    """Return the command that an attempt is."""
    if attempt.way != "binary":
        return text.parse(attempt.sent.partition(b"\r\n")[0])
    first, rest = attempt.sent[:12], attempt.sent[16:]
    head = HEADER.unpack_from(attempt.sent)
    return binary.parse(first, rest[: 8 + head[2] + head[3]])(attempt.sent[12:16])


def _named(attempt: Attempt, answered: bytes) -> list[bytes]:
    """Return the names of the figures that are told."""
    if attempt.way == "binary":
        return [key for _, _, key, _ in split(answered)]
    return re.findall(rb"^STAT (\S+)", answered, re.MULTILINE)


class TableTests(SteppedTestCase):
    """Nothing is missing."""

    def test_commands(self) -> None:
        """Each command is tried."""
        tried = {type(commandOf(each)) for each in ATTEMPTS}
        self.assertNotIn(Refused, tried)
        self.assertEqual(
            tried, {*VERBS, wire.Set, wire.Get, Add} - {Refused, foreign.Foreign}
        )

    def test_words(self) -> None:
        """Each word of text and meta is tried."""
        tried = {
            each.sent.split()[0].lower() for each in ATTEMPTS if each.way != "binary"
        }
        words = {*text._PARSERS, *meta.PARSERS} - _REFUSED | {b"touch"}
        self.assertEqual(tried, words)

    def test_opcodes(self) -> None:
        """Each opcode is tried."""
        tried = {each.sent[1] for each in ATTEMPTS if each.way == "binary"}
        self.assertEqual(tried, set(binary._KINDS))

    def test_topics(self) -> None:
        """Each topic of stats is tried."""
        commands = [commandOf(each) for each in ATTEMPTS]
        tried = {each.topic for each in commands if type(each) is wire.Stats}
        self.assertEqual(tried, set(TOPICS))

    def test_protocols(self) -> None:
        """Each command of several protocols is tried in each of them."""
        tried = {(type(commandOf(each)), each.way) for each in ATTEMPTS}
        for command in (wire.Set, wire.Get, wire.Delete):
            for way in ("text", "meta", "binary"):
                self.assertIn((command, way), tried)


class AttemptTestCase(SteppedTestCase):
    """Servers with messages to try it on."""

    def serve(self) -> Harness:
        """Return a server with messages, and one client."""
        old = {"max_deliveries": 1, "dead_letter": b"dead"}
        harness = Harness(flushAllEnabled=True, rules=rules(old=old))
        for queue, body in ((b"a", b"1"), (b"a", b"2"), (b"b", b"3"), (b"old", b"4")):
            harness.store.fill(queue, body)
        harness.connect().talk(b"get old/open\r\nget old/abort\r\n")
        return harness

    def connect(
        self, harness: Harness, attempt: Attempt, isGuarded: bool = True
    ) -> Client:
        """Return a client that has open what it needs, an admin for now."""
        rights = everything("admin") if isGuarded else None
        client = harness.connect(rights=rights)
        isBinary = attempt.way == "binary"
        if attempt.opens:
            client.talk(_OPEN_PACKET if isBinary else _OPEN)
        return client

    def give(self, client: Client, rights: Rights) -> None:
        """Let a client have other rights."""
        client.protocol._commands.rights = rights

    def state(self, harness: Harness) -> Any:
        """Return what is stored, open and connected, and the rules."""
        store = harness.store
        names = sorted(store.names())
        return (
            store.dump(),
            {body: b"".join(parts) for body, parts in store.parts.items()},
            [(store.detail(name), store.settings(name)) for name in names],
            [each.protocol.session.openReads for each in harness.clients],
            [each.transport.disconnected for each in harness.clients],
            [each.transport.disconnecting for each in harness.clients],
            harness.factory.rules.book.tables,
            [each for each in store.journal if each not in ("begin", "commit")],
        )

    def attempt(self, harness: Harness, client: Client, sent: bytes) -> bytes:
        """Return what is answered to something that may take a while."""
        answered = client.talk(sent)
        harness.pass_(2)
        return answered + client.read()


class WithoutTests(AttemptTestCase):
    """Who lacks one right, and has all others, is refused."""

    def refuse(self, attempt: Attempt, rights: Rights, pieces: list[bytes]) -> None:
        """Try, and look at everything."""
        harness = self.serve()
        client = self.connect(harness, attempt)
        self.give(client, rights)
        harness.pass_(2)
        before = self.state(harness)
        answered = b"".join([self.attempt(harness, client, each) for each in pieces])
        self.assertEqual(answered, attempt.refusal, attempt.shown)
        self.assertEqual(self.state(harness), before, attempt.shown)
        self.assertEqual(harness.broker.budget.reserved, 0)
        probe, probed = (
            (PROBE, PROBED) if attempt.way == "binary" else (b"version\r\n", VERSION)
        )
        self.assertEqual(client.talk(probe), probed, attempt.shown)

    def test_all(self) -> None:
        """Each attempt fails, by the one right that is missing."""
        for attempt in ATTEMPTS:
            for _, rights in attempt.almost():
                self.refuse(attempt, rights, [attempt.sent])

    def test_nobody(self) -> None:
        """Who has no right at all is refused, however the bytes come."""
        for attempt in ATTEMPTS:
            sent = attempt.sent
            if not attempt.needs:
                continue
            if len(sent) < 1000:
                self.refuse(attempt, Rights(), [sent[:7], sent[7:]])
                self.refuse(attempt, Rights(), [sent[:-3], sent[-3:]])
            else:
                self.refuse(attempt, Rights(), [sent[:1000], sent[1000:]])
                self.refuse(
                    attempt, Rights(), [sent[:70], sent[70:70_000], sent[70_000:]]
                )


class HomeTests(SteppedTestCase):
    """A server on a home, and somebody without a right, who tries everything."""

    def test_files(self) -> None:
        """All in one go, in any protocol, and not a byte of any file changes."""
        path = self.mktemp()
        with opened(path) as store:
            harness = Harness(store=store, flushAllEnabled=True)
            harness.connect().talk(b"set a 0 0 1\r\n1\r\nset b 0 0 1\r\n2\r\n")
            before = contents(path)
            for isBinary in (False, True):
                tried = [
                    each
                    for each in ATTEMPTS
                    if each.needs and (each.way == "binary") == isBinary
                ]
                client = harness.connect(rights=Rights())
                answered = client.talk(b"".join(each.sent for each in tried))
                expected = b"".join(each.refusal for each in tried)
                self.assertEqual(answered, expected)
                self.assertEqual(contents(path), before)
                self.assertGreater(len(tried), 100)
                client.end()
            harness.connect().talk(b"set a 0 0 1\r\n1\r\n")
            self.assertNotEqual(contents(path), before)


class WithTests(AttemptTestCase):
    """Who has just that right is answered as on a connection that is open to all."""

    def test_all(self) -> None:
        """Each attempt does what it does for anybody."""
        for attempt in ATTEMPTS:
            found = []
            enough = everything(None) if attempt.filters else attempt.enough()
            for rights in (enough, None):
                harness = self.serve()
                client = self.connect(harness, attempt, isGuarded=rights is not None)
                if rights is not None:
                    self.give(client, rights)
                harness.pass_(2)
                answered = self.attempt(harness, client, attempt.sent)
                self.assertNotIn(b"not allowed", answered)
                if attempt.varies:
                    answered = b" ".join(_named(attempt, answered))
                found.append((answered, self.state(harness)))
            self.assertEqual(found[0], found[1], attempt.shown)
