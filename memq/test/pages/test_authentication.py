"""docs/protocol.md shows how a client says who it is: its tables are sent."""

from __future__ import annotations

import os

from memq.access.admission import Admission
from memq.access.authenticator import DELAY
from memq.access.authfile import readAuthFile
from memq.access.users import together
from memq.test.pages.pages import PageTestCase
from memq.test.pages.test_packets import PATH, packetsOf
from memq.test.pages.test_readme import wireBytes
from memq.test.support.harness import Client, Harness
from memq.test.support.packets import request, response
from memq.test.support.sessions import VERSION
from memq.wire.auth.ascii import MAX_LINE, MAX_TOKEN

#: memcached's file of users.
USERS = "user:pass\nother:word\n"
ASKS = Admission(ways=frozenset(["password"]))


class AuthenticationTests(PageTestCase):
    """docs/protocol.md against a server that asks for passwords."""

    def setUp(self) -> None:
        """Make it."""
        super().setUp()
        self.harness = Harness()
        path = self.mktemp()
        with open(path, "w") as file:
            file.write(USERS)
        os.chmod(path, 0o600)
        self.harness.access.replace(together(readAuthFile(path)))

    def talk(self, data: bytes, client: Client) -> bytes:
        """Send, and return what is answered in time."""
        got = client.talk(data)
        while client.isPaused and not client.isClosed:
            self.harness.pass_(DELAY)
            got += client.read()
        return got

    def check(self, sent: bytes, answered: bytes, closed: bool) -> None:
        """Compare what is answered to bytes at once, and one by one."""
        for size in (len(sent), 1):
            client = self.harness.connect(admission=ASKS)
            pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
            got = b"".join([self.talk(each, client) for each in pieces])
            self.assertEqual((got, client.isClosed), (answered, closed), sent)
            client.end()
            for queue in self.harness.store.names():
                self.harness.connect().talk(b"delete %b\r\n" % queue)

    def test_text(self) -> None:
        """The lines on the left of a row are answered with those beside."""
        header = "sent, where a password is asked for"
        rows = self.table(PATH, header, "answered", "").rows
        for sent, cell, _ in rows:
            answered = cell.removesuffix(" *closed*")
            self.check(wireBytes(sent), wireBytes(answered), answered != cell)
        self.assertGreater(len(rows), 10)

    def test_packets(self) -> None:
        """So are requests with responses."""
        header = "request, where a password is asked for"
        rows = self.table(PATH, header, "response", "").rows
        numbers = VERSION.split()[1].decode()
        for sent, cell, _ in rows:
            data = b"".join(map(request, packetsOf(sent)))
            cell = cell.replace("value=VERSION", f"value={numbers}")
            answered = b"".join(map(response, packetsOf(cell)))
            self.check(data, answered, cell.endswith("*closed*"))
        self.assertGreater(len(rows), 8)

    def test_long(self) -> None:
        """What is too long for a row is answered as the text beside says."""
        body = b"x" * (MAX_TOKEN + 1)
        tooLong = b"CLIENT_ERROR auth token too long\r\n"
        self.check(b"set a 0 0 %d\r\n%b\r\n" % (len(body), body), tooLong, False)
        self.check(b"x" * (MAX_LINE + 1), b"", True)
