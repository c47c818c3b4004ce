"""Users and certificates are read at the start, and again all together."""

from __future__ import annotations

import os
import shutil

from twisted.internet.defer import execute
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from memq.access.admission import AccessControl
from memq.config import file
from memq.config.commandline import Options
from memq.config.file import findConfig
from memq.daemon import security as module
from memq.daemon.security import DAY, CertificateWatch, Security, readSecurity
from memq.errors import ConfigError, StartError
from memq.net.certificates import WARNS
from memq.test.support.certificates import files
from memq.test.support.servers import scratch
from memq.test.support.tlspeers import Pair

TLS = '[tls]\ncertificate = "chain.pem"\nkey = "key.pem"\n'
LISTEN = '[[listen]]\naddress = "tcp:0"\ntls = true\n'
USER = "[user.{}]\nunix = [{}]\n"


class SecurityTestCase(SynchronousTestCase):
    """Has a directory with a configuration file, users and a certificate."""

    def setUp(self) -> None:
        """Write them."""
        # There are sockets in it, whose names have to be short.
        self.directory = scratch(self)
        self.config = os.path.join(self.directory, "memq.toml")
        self.patch(file, "DEFAULT", self.config)
        self.users = os.path.join(self.directory, "users.toml")
        self.put(*files().server)
        self.clock = Clock()
        self.now = 0.0
        self.patch(module, "time", lambda: self.now)
        #: How often core files were forbidden.
        self.forbidden = 0
        self.patch(module, "forbidCoreFiles", self._forbid)

    def _forbid(self) -> None:
        self.forbidden += 1

    def put(self, certificate: str, key: str) -> None:
        """Let others be the files of the certificate."""
        for path, name in ((certificate, "chain.pem"), (key, "key.pem")):
            shutil.copy(path, os.path.join(self.directory, name))
        os.chmod(os.path.join(self.directory, "key.pem"), 0o600)

    def write(self, config: str, users: str | None = None) -> None:
        """Write the configuration file, and that of users."""
        for path, text in ((self.config, config), (self.users, users)):
            if text is not None:
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
                os.chmod(path, 0o640)

    def read(self, *words: str) -> Security:
        """Start; return what was read."""
        options = Options()
        options.parseOptions(["--config", self.config, *words])
        owner = os.geteuid(), os.getegid()
        found = readSecurity(options, self.clock, owner)
        self.access = AccessControl(found.users, self.clock, execute)
        found.serve(self.access)
        return found

    def reload(self, security: Security) -> list[str]:
        """Read all again; return what is logged."""
        with capturedLogs() as events:
            security.prepare(findConfig(self.config))()
        return [str(formatEvent(event)) for event in events]


class SecurityTests(SecurityTestCase):
    """What is read."""

    def test_nothing(self) -> None:
        """A server without users and TLS has no secret, and may leave core files."""
        self.write("")
        security = self.read()
        self.assertEqual(self.forbidden, 0)
        self.assertIsNone(security.ends())
        self.assertEqual((security.queues, security.web), (None, None))
        self.assertEqual(self.reload(security), [])

    def test_users(self) -> None:
        """Users stand beside the configuration file, or where an option says."""
        self.write("", USER.format("a", 1))
        security = self.read()
        self.assertEqual(self.forbidden, 1)
        self.assertEqual([*security.users.names], [b"a"])
        other = os.path.join(self.directory, "other.toml")
        os.rename(self.users, other)
        self.assertEqual([*self.read().users.names], [])
        self.assertEqual([*self.read("--users", other).users.names], [b"a"])
        auth = os.path.join(self.directory, "auth")
        with open(auth, "w", encoding="ascii") as text:
            text.write("b:c\n")
        os.chmod(auth, 0o600)
        found = self.read("-Y", auth, "--users", other).users.names
        self.assertEqual([*found], [b"a", b"b"])

    def test_noConfig(self) -> None:
        """Without a configuration file there are users only where an option says."""
        self.write("", USER.format("a", 1))
        options = Options()
        options.parseOptions(["--no-config"])
        owner = os.geteuid(), os.getegid()
        self.assertEqual(readSecurity(options, self.clock, owner).users.names, {})
        options = Options()
        os.unlink(self.config)
        options.parseOptions([])
        self.assertEqual(
            [*readSecurity(options, self.clock, owner).users.names], [b"a"]
        )

    def test_noSuchUser(self) -> None:
        """A listener is a user that there is, also after a reload."""
        listen = '\n[[listen]]\naddress = "tcp:0"\nuser = "a"\n'
        self.write(listen, USER.format("b", 1))
        why = f'{self.config} line 2: user = "a": there is no such user'
        self.assertEqual(str(self.assertRaises(ConfigError, self.read)), why)
        self.write(listen, USER.format("a", 1))
        security = self.read()
        self.write(listen, USER.format("b", 1))
        error = self.assertRaises(ConfigError, self.reload, security)
        self.assertEqual(str(error), why)

    def test_tls(self) -> None:
        """It is read where a listener or the page has it; not where nothing has."""
        self.write(TLS)
        self.put("/dev/null", "/dev/null")
        self.assertIsNone(self.read().queues)
        self.write(TLS + LISTEN)
        self.assertRaises(ConfigError, self.read)
        self.put(*files().server)
        security = self.read()
        assert security.queues is not None
        self.assertFalse(security.queues.asks)
        self.assertIsNone(security.web)
        self.assertEqual(self.forbidden, 1)
        identity = security.queues.certificates.identity
        self.assertEqual(security.ends(), identity.notAfter)
        names = ("users.toml", "chain.pem", "key.pem")
        paths = [os.path.join(self.directory, name) for name in names]
        self.assertEqual(security.paths(), paths)
        self.write(f'{TLS}client-ca = "{files().authority.path}"\n[web]\ntls = true\n')
        security = self.read()
        assert security.web is not None
        self.assertIsNone(security.queues)
        self.assertTrue(security.web.asks)
        self.assertEqual(security.paths()[-1], files().authority.path)

    def test_webWithout(self) -> None:
        """The page has no TLS without a certificate."""
        self.write("")
        error = self.assertRaises(StartError, self.read, "--web-tls")
        why = "--web-tls: needs a table [tls] in the configuration file"
        self.assertEqual(str(error), why)


class ReloadTests(SecurityTestCase):
    """What is read again."""

    def test_users(self) -> None:
        """New users hold; a mistake changes nothing, and no user at all is one."""
        self.write("", USER.format("a", 1))
        security = self.read()
        self.write("", USER.format("a", 1) + USER.format("b", 2))
        self.assertEqual(self.reload(security), ["Users are read again: 2 users"])
        users = self.access.users
        self.assertEqual([*users.names], [b"a", b"b"])
        for text in (USER.format("a", -1), ""):
            self.write("", text)
            self.assertRaises(ConfigError, self.reload, security)
            self.assertIs(self.access.users, users)

    def test_first(self) -> None:
        """The first user may come by a reload."""
        self.write("")
        security = self.read()
        self.assertFalse(self.access.hasUsers)
        self.write("", USER.format("a", 1))
        self.assertEqual(self.reload(security), ["Users are read again: 1 user"])
        self.assertTrue(self.access.hasUsers)
        self.assertEqual(self.forbidden, 1)

    def test_certificates(self) -> None:
        """The next handshake has the new certificate; with a bad one nothing holds."""
        self.write(TLS + LISTEN, USER.format("a", 1))
        security = self.read()
        assert security.queues is not None
        factory = security.queues.wrap(Factory())
        before = factory.context()
        self.put(*files().authority.issue("other"))
        self.write(TLS + 'minimum = "1.3"\n' + LISTEN)
        path = os.path.join(self.directory, "chain.pem")
        line, *_ = self.reload(security)
        told = rf"\[tls\] certificate {path}: ends on 2\d\d\d-\d\d-\d\d, is read again$"
        self.assertRegex(line, told)
        self.assertIsNot(factory.context(), before)
        self.assertEqual(security.queues.certificates.settings.minimum, "1.3")
        now, users = factory.context(), self.access.users
        self.put("/dev/null", "/dev/null")
        self.write("", USER.format("b", 1))
        self.assertRaises(ConfigError, self.reload, security)
        self.assertIs(factory.context(), now)
        self.assertIs(self.access.users, users)
        # Without a table, what the listeners have stays.
        self.put(*files().server)
        self.reload(security)
        self.assertEqual(security.queues.certificates.settings.minimum, "1.3")

    def test_failures(self) -> None:
        """Connections that fail are counted over all listeners."""
        self.write(f"{TLS}{LISTEN}[web]\ntls = true\n")
        security = self.read()
        for encryption in (security.queues, security.web):
            assert encryption is not None
            pair = Pair(encryption.wrap(Factory()))
            pair.server.dataReceived(b"GET /\r\n")
        self.assertEqual(security.failures(), 2)


class WatchTests(SecurityTestCase):
    """The end of a certificate."""

    def test_daily(self) -> None:
        """It is warned of once a day, from 14 days before, for all at once."""
        self.write(f"{TLS}{LISTEN}[web]\ntls = true\n")
        security = self.read()
        end = security.ends()
        assert end is not None
        watch = CertificateWatch(self.clock, security)
        self.now = end - WARNS - DAY / 2
        with capturedLogs() as events:
            watch.startService()
            self.assertEqual(events, [])
            self.now += DAY
            self.clock.advance(DAY)
            self.clock.advance(DAY)
        lines = [formatEvent(event) for event in events]
        self.assertEqual(len(lines), 2)
        path = os.path.join(self.directory, "chain.pem")
        self.assertIn(f"[tls] certificate {path}: expires in 14 d", str(lines[0]))
        watch.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_notStarted(self) -> None:
        """A watch that did not start can be stopped."""
        self.write("")
        CertificateWatch(self.clock, self.read()).stopService()
