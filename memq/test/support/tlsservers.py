"""Real servers with TLS, and clients that speak it."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from signal import SIGHUP
from typing import TYPE_CHECKING

from memq.test.support.certificates import files
from memq.test.support.servers import scratch
from testkit.servers import PATIENCE, Server

if TYPE_CHECKING:
    import socket

    from twisted.trial.unittest import SynchronousTestCase

#: A listener, and the certificate in its directory.
CONFIG = """
[[listen]]
address = "127.0.0.1:0"
tls = true
{listen}
[tls]
certificate = "chain.pem"
key = "key.pem"
{tls}
{more}
"""


class TLSServer(Server):
    """A server with a listener with TLS; connections are to that.

    :ivar directory: has its configuration file, its certificate and its users.
    :ivar config: the path of the file.
    :ivar context: that of its clients.
    """

    def __init__(
        self, test: SynchronousTestCase, *options: str, before: str = ""
    ) -> None:
        """Write the files; nothing is started yet."""
        self.directory = scratch(test)
        self.config = os.path.join(self.directory, "memq.toml")
        home = os.path.join(self.directory, "home")
        super().__init__(home, "--config", self.config, *options, before=before)
        self._test = test
        self.write()
        self.show(*files().server)
        self.context = files().clientContext()

    def write(self, listen: str = "", tls: str = "", more: str = "") -> None:
        """Write the configuration file.

        :param listen: further keys of the listener.
        :param tls: further keys of [tls].
        :param more: further tables.
        """
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(listen=listen, tls=tls, more=more))
        os.chmod(self.config, 0o600)

    def show(self, certificate: str, key: str) -> None:
        """Put another certificate in the place of the old one."""
        for path, name in ((key, "key.pem"), (certificate, "chain.pem")):
            there = os.path.join(self.directory, name)
            shutil.copy(path, there + ".new")
            os.chmod(there + ".new", 0o600)
            os.replace(there + ".new", there)

    def start(self) -> TLSServer:
        """Start it, and wait until all listens."""
        self._test.addCleanup(self.stop)
        super().start()
        line = self.waitForLine("Listening on 127.0.0.1:", 2)
        self.port = int(line.rpartition(":")[2])
        return self

    def connect(self) -> socket.socket:
        """Return a new connection, whose handshake is done."""
        return self.context.wrap_socket(self.plain(), server_hostname="localhost")

    def plain(self) -> socket.socket:
        """Return a new connection without TLS."""
        return super().connect()

    def number(self) -> str:
        """Return the serial number of the certificate that it shows."""
        with self.connect() as client:
            assert isinstance(client, ssl.SSLSocket)
            told = client.getpeercert()
        assert told is not None
        return str(told["serialNumber"])

    def reload(self, nth: int = 1) -> str:
        """Let it read its files again; return what the audit says of that.

        :param nth: the how manieth time this is.
        """
        os.kill(self.pid, SIGHUP)
        line = self.waitForLine("SIGHUP (signal) reload: ", nth)
        return line.partition("reload: ")[2]

    def openssl(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """Run openssl as a client that asks for the version."""
        where = f"localhost:{self.port}"
        return subprocess.run(
            ("openssl", "s_client", "-connect", where, "-quiet", *words),
            input=b"version\r\nquit\r\n",
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
