"""The recipes of docs/security.md: each block is carried out.

A recipe's server runs with its own configuration; addresses, directories and users of
the system are those of the test.  Its program speaks to that server.
"""

from __future__ import annotations

import getpass
import grp
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
from base64 import b64encode
from time import monotonic
from typing import TYPE_CHECKING
from urllib.error import HTTPError

from twisted.trial.unittest import SynchronousTestCase

from memq.test.clients.access import users as clients
from memq.test.clients.access.test_refusals import TABLE
from memq.test.clients.access.test_tls import SECURED
from memq.test.clients.access.users import OpsServer
from memq.test.clients.client import PATIENCE
from memq.test.clients.drivers import PHP
from memq.test.clients.test_prometheus import PROMTOOL, fetched, freePort
from memq.test.pages.pages import SKIP, PageTestCase, blocks, readPage
from memq.test.support.certificates import files
from memq.test.support.servers import scratch
from testkit.servers import outputOf, runToEnd

if TYPE_CHECKING:
    from memq.test.clients.client import Client
    from memq.test.pages.pages import Block

PAGE = "docs/security.md"
#: Where programs of administrators are, which not everybody has on the path.
_PATH = os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin"))


def recipes() -> dict[str, list[Block]]:
    """Return the blocks below each heading of the recipes."""
    _, _, page = readPage(PAGE).partition("\n## Recipes\n")
    _, *parts = re.split(r"^### (.+)\n", page, flags=re.MULTILINE)
    return {
        name: blocks(text) for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


class ClientsTests(PageTestCase):
    """The table of clients."""

    def test_names(self) -> None:
        """Each class that is named is there, and each that is tried has a row."""
        header = ("client", "text", "SASL", "certificate", "UNIX socket", "refused")
        rows = self.table(PAGE, *header, "test").rows
        named = {name for row in rows for name in re.findall(r"`(\w+)`", row[-1])}
        tried: set[type[Client]] = {*TABLE, *SECURED, clients.TLSPymemcache}
        known = {each.__name__ for each in tried}
        self.assertEqual(named, known)


class RecipesTests(SynchronousTestCase):
    """Each recipe, by its heading."""

    skip = SKIP

    def setUp(self) -> None:
        """Make the place of all files."""
        self.folder = scratch(self)
        self.tls = os.path.join(self.folder, "tls")
        self.shop = os.path.join(self.folder, "shop")
        for folder in (self.tls, self.shop):
            os.mkdir(folder)
        self.put(files().server, self.tls, "fullchain.pem", "privkey.pem")
        self.put(files().client, self.shop, "shop-1.pem", "shop-1.key")
        for path in (f"{self.tls}/clients.pem", f"{self.shop}/ca.pem"):
            shutil.copy(files().authority.path, path)

    def put(self, pair: tuple[str, str], folder: str, *names: str) -> None:
        """Copy a certificate and its key."""
        for path, name in zip(pair, names, strict=True):
            shutil.copy(path, os.path.join(folder, name))

    def recipe(self, heading: str, *kinds: str) -> list[str]:
        """Return the blocks of a recipe, which are of these kinds."""
        found = recipes()[heading]
        self.assertEqual([block.kind for block in found], list(kinds))
        return [self.moved(block.text) for block in found]

    def moved(self, text: str) -> str:
        """Return a block for this place."""
        for old, new in (
            ("/etc/memq/tls", self.tls),
            ("/etc/shop", self.shop),
            ("/run/memq", self.folder),
            ("www-data", getpass.getuser()),
            ("10.0.0.5", "127.0.0.1"),
            ("CN=shop-1", "CN=Shop-1"),
        ):
            text = text.replace(old, new)
        return re.sub(r'"tcp:\d+:', '"tcp:0:', text)

    def serve(self, config: str, users: str, *options: str) -> OpsServer:
        """Start a server with this configuration."""
        server = OpsServer(self.folder, config, users, *options)
        server.start()
        self.addCleanup(server.stop)
        return server

    def save(self, name: str, text: str) -> str:
        """Return the path of a file that has this text."""
        path = os.path.join(self.folder, name)
        OpsServer.write(path, text)
        return path

    def test_all(self) -> None:
        """Each recipe has a test."""
        with open(__file__, encoding="utf-8") as file:
            source = file.read()
        for heading in recipes():
            self.assertIn(f'"{heading}"', source)

    def test_php(self) -> None:
        """A program is known by its user, and may do what that may."""
        config, users, program = self.recipe(
            "PHP on the same host, by a UNIX socket", "toml", "toml", "php"
        )
        server = self.serve(config, users)
        printed = outputOf(*PHP, self.save("set.php", program))
        self.assertEqual(printed, "stored\n")
        self.assertEqual(server.take(b"orders.new"), [b"one"])
        # Another queue is none of its rights.
        program = program.replace("orders.new", "mails")
        self.assertNotIn("stored", outputOf(*PHP, self.save("set.php", program)))

    def test_python(self) -> None:
        """A program is known by the certificate that the commands make."""
        kinds = ("console certificates", "toml", "toml", "python")
        made, config, users, program = self.recipe(
            "Python, by a client certificate", *kinds
        )
        for line in made.splitlines():
            subprocess.run(
                shlex.split(line.removeprefix("$ ")),
                cwd=self.shop,
                check=True,
                capture_output=True,
                timeout=PATIENCE,
            )
        shutil.copy(f"{self.shop}/clients.pem", self.tls)
        server = self.serve(config, users)
        server.put(b"mails", b"hello")
        place = f'("127.0.0.1", {server.ports[1]})'
        program = program.replace('("memq.internal", 22211)', place)
        self.assertEqual(outputOf(sys.executable, "-c", program), "b'hello'\n")
        self.assertEqual(server.take(b"orders.new"), [b"one"])

    def test_stunnel(self) -> None:
        """Libmemcached's tools speak to a stunnel that has the certificate."""
        kinds = ("stunnel", "console stunnel")
        stunnel, commands = self.recipe("stunnel, for a client without TLS", *kinds)
        _, config, users, _ = self.recipe(
            *("Python, by a client certificate", "console certificates"),
            *("toml", "toml", "python"),
        )
        server = self.serve(config, users)
        server.put(b"mails", b"hello")
        port = str(freePort())
        stunnel = stunnel.replace("memq.internal:22211", f"127.0.0.1:{server.ports[1]}")
        stunnel = stunnel.replace("memq.internal", "localhost").replace("22201", port)
        process = subprocess.Popen(
            (shutil.which("stunnel4") or "stunnel4", self.save("memq.conf", stunnel)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.terminate)
        sent, taken = (line.removeprefix("$ ") for line in commands.splitlines())
        orders = os.path.join(self.folder, "orders.new")
        OpsServer.write(orders, "one")
        self.again(sent.replace("22201", port))
        self.assertEqual(server.take(b"orders.new"), [b"one"])
        self.assertEqual(self.again(taken.replace("22201", port)), "hello\n")

    def again(self, command: str) -> str:
        """Return what a command prints, once there is who it speaks to."""
        limit = monotonic() + PATIENCE
        while True:
            ended = subprocess.run(
                shlex.split(command),
                cwd=self.folder,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            if ended.returncode == 0:
                return ended.stdout
            assert monotonic() < limit, ended

    def test_certbot(self) -> None:
        """The hook has a server show the new certificate."""
        (hook,) = self.recipe("certbot's certificate", "sh deploy")
        _, config, users, _ = self.recipe(
            *("Python, by a client certificate", "console certificates"),
            *("toml", "toml", "python"),
        )
        server = self.serve(config, users)
        before = self.shown(server)
        renewed = os.path.join(self.folder, "renewed")
        os.mkdir(renewed)
        new = files().authority.issue("localhost-2", address="127.0.0.1")
        self.put(new, renewed, "fullchain.pem", "privkey.pem")
        group = grp.getgrgid(os.getgid()).gr_name
        hook = hook.replace("-o root", f"-o {getpass.getuser()}")
        hook = self.save("hook", hook.replace("-g memq", f"-g {group}"))
        self.program("systemctl", f'[ "$*" = "reload memq" ] && kill -HUP {server.pid}')
        outputOf("sh", hook, RENEWED_LINEAGE=renewed, PATH=f"{self.folder}/bin:{_PATH}")
        server.waitForLine("read again")
        self.assertNotEqual(self.shown(server), before)
        mode = os.stat(f"{self.tls}/privkey.pem").st_mode & 0o777
        self.assertEqual(oct(mode), "0o640")

    def shown(self, server: OpsServer) -> str:
        """Return the certificate that a server shows."""
        return ssl.get_server_certificate(("127.0.0.1", server.ports[1]))

    def program(self, name: str, script: str) -> None:
        """Put a program in the way of another one."""
        path = os.path.join(self.folder, "bin", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        OpsServer.write(path, f"#!/bin/sh\n{script}\n")
        os.chmod(path, 0o700)

    def test_listener(self) -> None:
        """Whoever reaches it is the user; nftables takes the rules."""
        config, users, firewall = self.recipe(
            "A listener that is a user", "toml", "toml", "nft"
        )
        server = self.serve(config, users)
        sets = b"set legacy.1 0 0 3\r\none\r\n"
        for port, said, told in (
            (server.ports[1], sets, b"STORED\r\n"),
            (server.ports[1], b"get mails\r\n", b"CLIENT_ERROR not allowed\r\n"),
            (server.ports[2], b"get mails\r\n", b"CLIENT_ERROR unauthenticated\r\n"),
        ):
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                client.sendall(said)
                self.assertEqual(client.makefile("rb").readline(), told)
        self.assertTrue(self.accepts(firewall))
        self.assertFalse(self.accepts(firewall.replace("dport", "port")))

    def accepts(self, rules: str) -> bool:
        """Return whether nft takes rules, or reads them, where it may do no more."""
        nft = shutil.which("nft", path=_PATH) or "nft"
        path = self.save("nftables.conf", rules)
        ended = runToEnd("unshare", "-rn", nft, "-c", "-f", path)
        if "Operation not permitted" in ended.stderr:
            ended = runToEnd(nft, "-c", "-f", path)
        isForbidden = "Operation not permitted" in ended.stderr
        return ended.returncode == 0 or (isForbidden and "syntax" not in ended.stderr)

    def test_prometheus(self) -> None:
        """Metrics are for its token, and Prometheus takes its configuration."""
        commands, scrape = self.recipe(
            "Prometheus with a login", "console debian", "yaml"
        )
        words = shlex.split(commands.removeprefix("$ sudo memq "))
        path = os.path.join(self.folder, "made.toml")
        token = outputOf(
            *(sys.executable, "-c", "from memq.cli import run; exit(run())", *words),
            *("--file", path),
        ).strip()
        secret = self.save("memq.token", token)
        scrape = scrape.replace("/etc/prometheus/memq.token", secret)
        self.assertIn(secret, scrape)
        prometheus = self.save("prometheus.yml", scrape)
        self.assertIn("SUCCESS", outputOf(PROMTOOL, "check", "config", prometheus))
        with open(path, encoding="utf-8") as file:
            server = self.serve("", file.read(), "--web-listen=127.0.0.1:0")
        url = server.waitForLine("The web is on ").rpartition(" ")[2] + "/metrics"
        self.assertEqual(
            self.assertRaises(HTTPError, fetched, f"http://{url}").code, 401
        )
        basic = b64encode(f"prometheus:{token}".encode()).decode()
        told = fetched(f"http://{url}", Authorization=f"Basic {basic}")
        self.assertIn(b"memq_", told)
        self.assertNotIn(token, "\n".join(server.log))
