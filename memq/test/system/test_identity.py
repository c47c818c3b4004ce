"""The command line and HTTP beside a real server with users: TLS, sockets, secrets."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from twisted.trial.unittest import SynchronousTestCase

from memq.access.secrets import PasswordHash, TokenHash
from memq.cli import MODULES
from memq.test.support.certificates import files
from memq.test.support.commandline import Ended, Terminal, command, launched, variables
from memq.test.support.tlsservers import TLSServer
from testkit.servers import PATIENCE

if TYPE_CHECKING:
    from ssl import SSLContext

#: Secrets; no output has them.
TOKEN, PASSWORD, WEAK = "token-grackle", "pass grackle", "weak-grackle"
CHEAP = (2, 1, 1)
USERS = f"""
[user.ops]
role = "admin"
token = "{TokenHash.of(TOKEN.encode())}"
password = "{PasswordHash.of(PASSWORD.encode(), CHEAP)}"
[user.weak]
token = "{TokenHash.of(WEAK.encode())}"
read = ["own"]
[user.shop]
certificate = ["CN=Shop-1"]
write = ["orders"]
[user.here]
unix = [{os.getuid()}]
read = ["orders"]
[[listen]]
address = "unix:sock"
auth = "peer"
"""
TLS = f"""client-ca = "{files().authority.path}"
client-certificate = "optional"
"""
#: Words of each command that speaks to a server, what it reads, and its exit status.
COMMANDS: tuple[tuple[str, bytes, int], ...] = (
    ("push orders --lines", b"a\nb\nc\nd\n", 0),
    ("peek orders", b"", 0),
    ("pop orders", b"", 0),
    ("stat", b"", 0),
    ("move orders others -n 1", b"", 0),
    ("redrive others", b"", 0),
    ("pause orders", b"", 0),
    ("resume orders", b"", 0),
    ("rules", b"", 0),
    ("reload", b"", 0),
    ("connections", b"", 0),
    ("check", b"", 0),
    ("flush orders --yes", b"", 0),
    ("delete others --yes", b"", 0),
)
#: Of those, what everybody is told, of the own queues and no others.
FOR_ALL = {"stat", "check"}


class IdentityTestCase(SynchronousTestCase):
    """A server with users, TLS and a socket."""

    def setUp(self) -> None:
        """Start it."""
        self.server = TLSServer(self, "--web-listen=127.0.0.1:0", "--web-tls")
        listen = 'auth = "certificate|password"'
        self.socket = os.path.join(self.server.directory, "sock")
        users = USERS.replace("unix:sock", f"unix:{self.socket}")
        self.server.write(listen, TLS, users)
        self.server.start()
        self.secret = os.path.join(self.server.directory, "secret")
        self.write(PASSWORD)
        self.variables = {
            "MEMQ_SERVER": f"localhost:{self.server.port}",
            "MEMQ_CA": files().authority.path,
            "MEMQ_USER": "ops",
            "MEMQ_PASSWORD_FILE": self.secret,
        }

    def write(self, secret: str) -> None:
        """Write the file with the secret."""
        with open(self.secret, "w", encoding="utf-8") as file:
            file.write(secret + "\n")
        os.chmod(self.secret, 0o600)

    def run_(self, words: str, stdin: bytes = b"", **more: str) -> Ended:
        """Run a command; none of its words tells a secret."""
        env = variables(self.server, **{**self.variables, **more})
        done = command(self.server, *words.split(), stdin=stdin, env=env)
        self.assertNotIn("grackle", f"{done.out!r}{done.err}")
        return done


class CommandTests(IdentityTestCase):
    """Commands as somebody."""

    def test_all(self) -> None:
        """Each command is carried out over TLS, as who a password says."""
        for words, stdin, status in COMMANDS:
            done = self.run_(words, stdin)
            self.assertEqual(done.status, status, (words, done))
        where = f"localhost:{self.server.port}"
        done = self.run_(f"import --server={where}", b"")
        self.assertIn("imported for good: nothing", done.err)
        lines = self.server.log
        self.assertTrue([line for line in lines if "(text, ops) pause orders" in line])
        self.assertFalse([line for line in lines if "grackle" in line])

    def test_refused(self) -> None:
        """Each command is refused to somebody without a right, and changes nothing."""
        self.run_("push orders a b")
        self.run_("push others c")
        before = self.state()
        self.write(WEAK)
        for words, stdin, _ in COMMANDS:
            done = self.run_(words, stdin, MEMQ_USER="weak")
            if words in FOR_ALL:
                self.assertEqual(done, Ended(0, done.out, ""), words)
                self.assertNotIn(b"orders", done.out)
                continue
            self.assertEqual(done.status, 3, (words, done))
            self.assertIn("CLIENT_ERROR not allowed", done.err, words)
            self.assertEqual((done.out, done.err.count("\n")), (b"", 1), (words, done))
        self.write(PASSWORD)
        self.assertEqual(self.state(), before)

    def state(self) -> tuple[bytes, bytes]:
        """Return all that is in the queues, and the online rules."""
        exported = self.run_(f"export --home {self.server.home}")
        self.assertIn(b"orders", exported.out)
        return exported.out, self.run_("rules").out

    def test_known(self) -> None:
        """Each command is among these, or looked at elsewhere, or asks no server."""
        others = {"work", "top", "tail", "import"}
        none = {"export", "backup", "adopt", "completion", "user", "rabbitmq-policies"}
        tried = {words.split()[0] for words, _, _ in COMMANDS}
        self.assertEqual(tried | others | none, set(MODULES))

    def test_work(self) -> None:
        """All workers say who they are, over connections of their own."""
        env = variables(self.server, **self.variables)
        words = ("work", "orders", "-j", "2", "--", "echo", "done")
        working = launched(self.server, *words, env=env)
        self.addCleanup(working.wait, PATIENCE)
        self.addCleanup(working.kill)
        self.run_("push orders a b")
        assert working.stdout is not None
        with working.stdout as lines:
            self.assertEqual([lines.readline() for _ in "ab"], [b"done\n"] * 2)

    def test_token(self) -> None:
        """A token is a password; options are as good as variables."""
        self.write(TOKEN)
        self.variables = {}
        done = self.run_(
            f"stat --server=localhost:{self.server.port} --user=ops --tls "
            f"--password-file={self.secret} --ca={files().authority.path}"
        )
        self.assertEqual((done.status, done.err), (0, ""))

    def test_certificate(self) -> None:
        """A certificate is enough, and gives the rights of its user."""
        certificate, key = files().client
        self.variables |= {"MEMQ_CERTIFICATE": certificate, "MEMQ_KEY": key}
        self.variables["MEMQ_USER"] = ""
        self.assertEqual(self.run_("push orders x").status, 0)
        done = self.run_("push mails x")
        self.assertEqual((done.status, done.err.count("\n")), (3, 1), done)
        self.assertIn("not allowed", done.err)

    def test_socket(self) -> None:
        """By a socket the user of the process is enough; nothing else is said."""
        self.write("wrong")
        self.run_("push orders x")
        done = self.run_("pop orders --wait 0", MEMQ_SERVER=self.socket)
        self.assertIn(done.status, (0, 3), done)
        done = self.run_("flush orders --yes", MEMQ_SERVER=self.socket)
        self.assertIn("not allowed", done.err)

    def test_wrong(self) -> None:
        """Who is not let in is told so in one line, with status 3."""
        self.write("wrong-grackle")
        for words in ("stat", "push orders x", "work orders -- cat"):
            done = self.run_(words)
            self.assertEqual((done.status, done.out), (3, b""), (words, done))
            self.assertIn("user ops: the server says", done.err)
            self.assertEqual(done.err.count("\n"), 1)

    def test_nobody(self) -> None:
        """Who does not say who it is learns how to."""
        done = self.run_("stat", MEMQ_USER="")
        self.assertIn("say who you are: --user", done.err)
        self.assertEqual(done.err.count("\n"), 1)

    def test_untrusted(self) -> None:
        """A server that is not trusted hears nothing."""
        done = self.run_("stat", MEMQ_CA="", MEMQ_TLS="1")
        self.assertEqual(done.status, 1)
        self.assertIn("its certificate is not trusted: ", done.err)

    def test_unseen(self) -> None:
        """The process shows no secret to others, while it waits."""
        env = variables(self.server, **self.variables)
        waiting = launched(self.server, "pop", "orders", "--wait=60", env=env)
        self.addCleanup(waiting.wait, PATIENCE)
        self.addCleanup(waiting.kill)
        end = monotonic() + PATIENCE
        waits = False
        while not waits and monotonic() < end:
            waits = "orders" in self.run_("connections").out.decode()
        self.assertTrue(waits)
        for name in ("cmdline", "environ"):
            with open(f"/proc/{waiting.pid}/{name}", "rb") as file:
                self.assertNotIn(b"grackle", file.read())

    def test_typed(self) -> None:
        """On a terminal a password is asked for, and not shown."""
        more = {**self.variables, "MEMQ_PASSWORD_FILE": ""}
        terminal = Terminal(self.server, "stat", columns=80, lines=24, **more)
        terminal.waitFor("Password of ops: ")
        terminal.type(f"{PASSWORD}\n")
        status, shown = terminal.end()
        self.assertEqual(status, 0)
        self.assertNotIn("grackle", shown)


class HTTPTests(IdentityTestCase):
    """HTTP over TLS as somebody."""

    def setUp(self) -> None:
        """Find the web."""
        super().setUp()
        line = self.server.waitForLine("The web is on 127.0.0.1:")
        self.base = f"https://localhost:{line.rpartition(':')[2]}"

    def ask(self, path: str, context: SSLContext, **headers: str) -> tuple[int, Any]:
        """Return status and JSON of a reply."""
        request = Request(f"{self.base}{path}", headers=headers)
        try:
            with urlopen(request, timeout=PATIENCE, context=context) as reply:
                return reply.status, json.loads(reply.read())
        except HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def test_ways(self) -> None:
        """A password, a token and a certificate say who somebody is."""
        none, own = files().clientContext(), files().clientContext(*files().client)
        self.assertEqual(self.ask("/api/v1/me", none)[0], 401)
        basic = b64encode(f"ops:{PASSWORD}".encode()).decode()
        for context, said, user in (
            (none, {"Authorization": f"Basic {basic}"}, "ops"),
            (none, {"Authorization": f"Bearer {TOKEN}"}, "ops"),
            (own, {}, "shop"),
            (own, {"Authorization": f"Bearer {TOKEN}"}, "ops"),
        ):
            code, told = self.ask("/api/v1/me", context, **said)
            self.assertEqual((code, told["user"]), (200, user))
        self.assertEqual(self.ask("/api/v1/connections", own)[0], 403)
        code, _ = self.ask("/api/v1/me", none, Authorization="Bearer wrong-grackle")
        self.assertEqual(code, 401)
        self.assertFalse([each for each in self.server.log if "grackle" in each])
