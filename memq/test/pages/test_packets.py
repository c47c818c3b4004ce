"""docs/protocol.md shows what is so of the binary protocol: its tables are sent."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from memq.errors import QueueError
from memq.test.pages.pages import PageTestCase
from memq.test.pages.test_readme import subclasses
from memq.test.support.packets import (
    OPCODES,
    packet,
    request,
    response,
    shown,
    split,
)
from memq.test.support.servers import started
from memq.wire.auth.sasl import CONTINUE
from memq.wire.packets import DONE, FORBIDDEN, NOT_FOUND, UNKNOWN, statusOf

if TYPE_CHECKING:
    from testkit.servers import Server

PATH = "docs/protocol.md"


def packetsOf(cell: str) -> list[str]:
    """Return the packets of a cell, each in words."""
    return re.findall("`([^`]+)`", cell)


class PacketTests(PageTestCase):
    """docs/protocol.md against a real server."""

    def test_rows(self) -> None:
        """The requests on the left of a row are answered with the responses beside."""
        server = started(self)
        rows = self.table(PATH, "request", "response", "").rows
        for sent, answered, _ in rows:
            requests = packetsOf(sent)
            if not answered.endswith("*closed*"):
                requests.append("QuitQ")
            expected = b"".join(map(response, packetsOf(answered)))
            got = server.talk(b"".join(map(request, requests)))
            self.assertEqual(shown(got), shown(expected), sent)
            self.assertEqual(got, expected)
        self.assertGreater(len(rows), 15)

    def test_opcodes(self) -> None:
        """The opcodes that are not unknown are listed, by their usual names."""
        rows = self.table(PATH, "opcode", "name", "extras", "what it does").rows
        listed = {row[1].strip("`"): int(row[0].strip("`"), 16) for row in rows}
        self.assertEqual(listed, {name: OPCODES[name] for name in listed})
        server = started(self)
        known = {opcode for opcode in range(256) if self.knows(server, opcode)}
        self.assertEqual(known, {*listed.values()})

    def knows(self, server: Server, opcode: int) -> bool:
        """Return whether a request without anything is told another error, or none."""
        got = server.talk(packet(opcode) + request("QuitQ"))
        return UNKNOWN not in [head[5] for head, *_ in split(got)]

    def test_statuses(self) -> None:
        """Each status that a response may have is listed."""
        rows = self.table(PATH, "status", "when").rows
        listed = {int(row[0].strip("`"), 16) for row in rows}
        told = {statusOf(each.__new__(each)) for each in subclasses(QueueError)}
        self.assertEqual(listed, told | {DONE, NOT_FOUND, FORBIDDEN, CONTINUE})
