"""Who clients of a real server are: by uid and certificate, and after a reload."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from signal import SIGHUP

from twisted.trial.unittest import SynchronousTestCase

from memq.access.secrets import TokenHash
from memq.test.support.certificates import files
from memq.test.support.servers import scratch, started
from testkit.servers import PATIENCE

_LISTENERS = """
[[listen]]
address = "127.0.0.1:0"
tls = true
auth = "certificate|password"
[[listen]]
address = "unix:{path}:mode=600"
auth = "peer"
[tls]
certificate = "{certificate}"
key = "{key}"
client-ca = "{authority}"
"""
_USERS = """
[user.local]
unix = [{uid}]
{right} = ["*"]
[user.shop]
certificate = ["CN=Shop-1"]
token = "{token}"
{right} = ["*"]
"""
STORED, REFUSED = b"STORED\r\n", b"CLIENT_ERROR not allowed\r\n"
SET = b"set q 0 0 1\r\nx\r\n"

#: Says something as whoever runs it, who may be told at once that it is nobody.
_SAY = """
import contextlib, socket, sys
with socket.socket(socket.AF_UNIX) as client:
    client.settimeout(30)
    client.connect(sys.argv[1])
    with contextlib.suppress(BrokenPipeError):
        client.sendall(sys.argv[2].encode())
    print(client.makefile("r").readline().strip())
"""


class Client:
    """A socket, and what is answered on it."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        connected.settimeout(PATIENCE)
        self._file = connected.makefile("rb")

    def ask(self, data: bytes) -> bytes:
        """Return the line that is answered; nothing if the connection ends."""
        self._socket.sendall(data)
        return self.line()

    def line(self) -> bytes:
        """Return the next line."""
        return self._file.readline()

    def close(self) -> None:
        """End."""
        self._file.close()
        self._socket.close()


class LoginTests(SynchronousTestCase):
    """A server that knows its clients."""

    def setUp(self) -> None:
        """Start it."""
        folder = scratch(self)
        self.path = os.path.join(folder, "socket")
        self.config = os.path.join(folder, "memq.toml")
        found = files()
        certificate, key = found.server
        self.listeners = _LISTENERS.format(
            path=self.path,
            certificate=certificate,
            key=key,
            authority=found.authority.path,
        )
        self.write("write", os.geteuid())
        options = "--config", self.config
        self.server = started(self, *options, home=os.path.join(folder, "home"))
        self.server.waitForLine(f"Listening on {self.path}")
        line = self.server.waitForLine("Listening on 127.0.0.1:", 2)
        self.port = int(line.rpartition(":")[2])

    def write(self, right: str, uid: int) -> None:
        """Write the configuration: what the users may do, and a uid."""
        token = TokenHash.of(b"token")
        users = _USERS.format(right=right, uid=uid, token=token)
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(self.listeners + users)
        os.chmod(self.config, 0o600)

    def local(self) -> Client:
        """Connect by the UNIX socket."""
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(self.path)
        client = Client(connected)
        self.addCleanup(client.close)
        return client

    def secure(self, *certificate: str) -> Client:
        """Connect over TLS."""
        context = files().clientContext(*certificate)
        plain = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        client = Client(context.wrap_socket(plain, server_hostname="localhost"))
        self.addCleanup(client.close)
        return client

    def reload(self, nth: int) -> None:
        """Let the configuration be read again; wait until that is done."""
        os.kill(self.server.pid, SIGHUP)
        self.server.waitForLine("SIGHUP (signal) reload: OK", nth)

    def test_shown(self) -> None:
        """A uid and a certificate tell who a client is; the one of nobody logs in."""
        local, shop = self.local(), self.secure(*files().client)
        self.assertEqual(local.ask(SET), STORED)
        self.assertEqual(shop.ask(SET), STORED)
        other = self.secure()
        self.assertEqual(
            other.ask(SET), b"CLIENT_ERROR bad authentication token format\r\n"
        )
        self.assertEqual(other.ask(b"set a 0 0 10\r\nshop token\r\n" + SET), STORED)
        self.assertEqual(other.line(), STORED)

    def test_uids(self) -> None:
        """Processes of two uids are two users, and one of a third is nobody.

        Who is not root can be no other, and sees the first of these.
        """
        own = os.geteuid()
        self.server.stop()
        os.chmod(os.path.dirname(self.path), 0o711)
        users = (
            f'[user.a]\nunix = [{own or 4711}]\nwrite = ["*"]\n'
            "[user.b]\nunix = [4712]\n"
        )
        listeners = self.listeners.replace("mode=600", "mode=666")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(listeners + users)
        server = started(self, "--config", self.config)
        server.waitForLine(f"Listening on {self.path}")
        answers = {
            own or 4711: "STORED",
            4712: "CLIENT_ERROR not allowed",
            4713: "CLIENT_ERROR unauthenticated",
        }
        for uid, answer in list(answers.items())[: 1 if own else None]:
            found = subprocess.run(
                [sys.executable, "-c", _SAY, self.path, SET.decode()],
                user=uid,
                check=True,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
            self.assertEqual(found.stdout, f"{answer}\n")

    def test_reload(self) -> None:
        """What users may do holds for those who are there; others are cut off."""
        local, shop = self.local(), self.secure(*files().client)
        self.assertEqual((local.ask(SET), shop.ask(SET)), (STORED, STORED))
        self.write("read", os.geteuid())
        self.reload(1)
        self.assertEqual((local.ask(SET), shop.ask(SET)), (REFUSED, REFUSED))
        self.write("write", os.geteuid() + 1)
        self.reload(2)
        self.assertEqual((local.line(), shop.ask(SET)), (b"", STORED))
        late = self.local()
        self.assertEqual(late.line(), b"CLIENT_ERROR unauthenticated\r\n")
        self.assertEqual(late.line(), b"")
