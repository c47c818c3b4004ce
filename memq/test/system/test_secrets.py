"""Secrets: what clients say, and what users have, is in no output of a real server.

A server runs with all that it can log.  Clients say right and wrong secrets in each
way; then everything that the server has written or answered is looked through.
"""

from __future__ import annotations

import ast
import os
import sys
from base64 import b64encode
from glob import glob
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from twisted.trial.unittest import SynchronousTestCase

from memq.access.secrets import PasswordHash, TokenHash
from memq.test.support.packets import packet
from memq.test.support.servers import scratch, started
from testkit.servers import PATIENCE, ROOT, outputOf, runToEnd

if TYPE_CHECKING:
    from collections.abc import Iterator


#: What is to be nowhere: secrets that are right, and ones that are not.
TOKEN, PASSWORD = b"right-token-9f1c", b"right-password-77aa"
WRONG, MESSAGE = b"wrong-token-5b2e", b"body-of-no-login-41d0"
#: A user's name that nobody has; it may be a secret that came a word too early.
STRANGER = b"stranger-c3d8"
_SAID = (TOKEN, PASSWORD, WRONG, MESSAGE, STRANGER)

_USERS = """
[user.shop]
token = "{token}"
write = ["*"]
read = ["*"]
[user.ops]
role = "admin"
password = "{password}"
"""


def saslPlain(user: bytes, secret: bytes) -> bytes:
    """Return the packet of a login."""
    return packet(0x21, b"PLAIN", b"\0%b\0%b" % (user, secret))


def textLogin(user: bytes, secret: bytes) -> bytes:
    """Return the command of a login."""
    said = b"%b %b" % (user, secret)
    return b"set _ _ _ %d\r\n%b\r\n" % (len(said), said)


class SecretsTests(SynchronousTestCase):
    """A server, and all that it says."""

    def setUp(self) -> None:
        """Start it with a file for each kind of line."""
        self.folder = scratch(self)
        self.hashes = {
            "token": str(TokenHash.of(TOKEN)),
            "password": str(PasswordHash.of(PASSWORD)),
        }
        self.users = os.path.join(self.folder, "users.toml")
        self.write(_USERS.format(**self.hashes))
        self.server = started(
            self,
            *("-vv", "--users", self.users, "--slow=0.001"),
            *("--audit-log", os.path.join(self.folder, "audit.log")),
            "--web-listen=127.0.0.1:0",
            home=os.path.join(self.folder, "home"),
        )
        line = self.server.waitForLine("The web is on ")
        self.web = f"http://{line.rpartition(' ')[2]}"
        #: All that was answered.
        self.answers: list[bytes] = []

    def write(self, text: str) -> None:
        """Write the file of users."""
        with open(self.users, "w", encoding="utf-8", opener=_private) as file:
            file.write(text)

    def say(self, data: bytes, word: bytes) -> None:
        """Say something, until a word is answered."""
        with self.server.connect() as client:
            client.sendall(data)
            answered = b""
            while word not in answered:
                piece = client.recv(65536)
                self.assertNotEqual(piece, b"", answered)
                answered += piece
        self.answers.append(answered)

    def fetch(self, path: str, **headers: str) -> int:
        """Return the status of a page."""
        try:
            with urlopen(
                Request(self.web + path, headers=headers), timeout=PATIENCE
            ) as reply:
                self.answers.append(reply.read() + bytes(reply.headers))
                return int(reply.status)
        except HTTPError as error:
            self.answers.append(error.read() + bytes(error.headers))
            return error.code

    def test_nowhere(self) -> None:
        """No secret, and nothing of a failed login, is in a log, a reply or a file."""
        self.logInByText()
        self.logInByPackets()
        self.logInByHTTP()
        self.reload()
        self.assertEqual(self.server.stop(), 0)
        # It logs all that it can.
        self.assertIn("(user shop) set q ", "\n".join(self.server.log))
        secrets = {*_SAID, *(b64encode(each) for each in _SAID)}
        secrets |= {each.split(":")[-1].encode() for each in self.hashes.values()}
        for where, data in self.written():
            for secret in secrets:
                self.assertNotIn(secret, data, where)

    def logInByText(self) -> None:
        """Say right and wrong ones, and a message as after a silent reconnect."""
        self.say(
            textLogin(b"shop", TOKEN) + b"set q 0 0 1\r\nx\r\n", b"STORED\r\nSTORED"
        )
        for topic in (b"settings", b"conns"):
            self.say(textLogin(b"ops", PASSWORD) + b"stats %b\r\n" % topic, b"END\r\n")
        failed = b"CLIENT_ERROR authentication failure\r\n"
        for user, secret in (
            *((b"shop", WRONG), (b"ops", WRONG), (STRANGER, WRONG)),
            *((b"shop", PASSWORD), (b"ops", MESSAGE + b" and more")),
        ):
            self.say(textLogin(user, secret), failed)
        for line in (b"set q 0 0 %d" % len(MESSAGE), b"get %b" % STRANGER):
            self.say(b"%b\r\n%b\r\n" % (line, MESSAGE), b"CLIENT_ERROR ")

    def logInByPackets(self) -> None:
        """Say them by SASL."""
        for user, secret, word in (
            (b"ops", PASSWORD, b"Authenticated"),
            (b"shop", TOKEN, b"Authenticated"),
            (b"ops", WRONG, b"Auth failure."),
            (STRANGER, WRONG, b"Auth failure."),
        ):
            self.say(saslPlain(user, secret), word)

    def logInByHTTP(self) -> None:
        """Say them to the page and the API."""
        for user, secret, status in (
            (b"ops", PASSWORD, 200),
            (b"ops", WRONG, 401),
            (STRANGER, WRONG, 401),
        ):
            basic = b64encode(b"%b:%b" % (user, secret)).decode()
            for path in ("/api/v1/connections", "/api/v1/server", "/api/v1/rules"):
                found = self.fetch(path, Authorization=f"Basic {basic}")
                self.assertEqual(found, status, path)
        for token, status in ((TOKEN, 200), (WRONG, 401)):
            bearer = f"Bearer {token.decode()}"
            self.assertEqual(self.fetch("/api/v1/queues", Authorization=bearer), status)

    def reload(self) -> None:
        """Have files read that are wrong: a secret in the place of something else."""
        for text in (
            f'[user.shop]\ntoken = "{TOKEN.decode()}"\n',
            f'[user.shop]\ntokens = "{TOKEN.decode()}"\n',
            f'[user.shop]\npassword = "{PASSWORD.decode()}"\n',
            f'[user.shop]\npassword = "{PASSWORD.decode()}\n',
        ):
            self.write(text)
            said = textLogin(b"ops", PASSWORD) + b"reload\r\n"
            self.say(said, b"STORED\r\nSERVER_ERROR ")
        self.write(_USERS.format(**self.hashes))
        listed = outputOf(*_MEMQ, "user", "list", "--file", self.users)
        self.assertIn("shop", listed)
        self.answers.append(listed.encode())

    def written(self) -> Iterator[tuple[str, bytes]]:
        """Yield all that the server has said: replies, logs, and its home."""
        yield "the replies", b"\n".join(self.answers)
        yield "the log", "\n".join(self.server.log).encode()
        for path in glob(f"{self.folder}/**", recursive=True):
            if os.path.isfile(path) and path != self.users:
                with open(path, "rb") as file:
                    yield path, file.read()

    def test_processes(self) -> None:
        """A server's command line and environment have none; a command asks for one."""
        for name in ("cmdline", "environ"):
            with open(f"/proc/{self.server.pid}/{name}", "rb") as file:
                said = file.read()
            for secret in self.hashes.values():
                self.assertNotIn(secret.encode(), said)
        refused = runToEnd(*_MEMQ, "user", "add", "a", "--password", PASSWORD.decode())
        self.assertEqual(refused.returncode, 2)


_MEMQ = (sys.executable, "-c", "from memq.cli import run; exit(run())")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class SourceTests(SynchronousTestCase):
    """The source: what is logged, and what lies in the tree."""

    #: Names of values that are secrets.
    NAMES = frozenset({"secret", "password", "token", "said", "credentials", "body"})

    def test_logged(self) -> None:
        """No line of the log has a value of such a name."""
        count = 0
        for path in glob(f"{ROOT}/memq/**/*.py", recursive=True):
            if f"{os.sep}test{os.sep}" in path:
                continue
            with open(path, encoding="utf-8") as file:
                tree = ast.parse(file.read())
            for call in filter(_logs, ast.walk(tree)):
                assert isinstance(call, ast.Call)
                count += 1
                given = {word.arg for word in call.keywords}
                self.assertEqual(given & self.NAMES, set(), f"{path}:{call.lineno}")
        self.assertGreater(count, 50)

    def test_keys(self) -> None:
        """No key lies in the tree."""
        # Not one text, which would stand in this file as it is compiled.
        words = " ".join(("PRIVATE", "KEY-----"))
        for folder in ("memq", "etc", "debian", "contrib", "docs", "tools", "bench"):
            for path in glob(f"{ROOT}/{folder}/**", recursive=True):
                if os.path.isfile(path):
                    with open(path, "rb") as file:
                        self.assertNotIn(words.encode(), file.read(), path)


def _logs(node: ast.AST) -> bool:
    """Return whether a node calls a logger."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    return ast.unparse(node.func.value).lower().endswith("_log")
