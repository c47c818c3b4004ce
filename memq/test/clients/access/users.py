"""A server with users, and the clients that can tell who they are."""

from __future__ import annotations

import functools
import os
import socket
import sys
from glob import glob
from tempfile import mkdtemp
from typing import ClassVar

from pymemcache.client.base import Client as PymemcacheClient

from memq.access.secrets import TokenHash
from memq.test.clients import drivers, fetched, libraries
from memq.test.clients.cases import ReaderCase, lasting
from memq.test.clients.client import PATIENCE
from memq.test.support.certificates import files
from testkit.servers import Server

#: The token of ``shop``, who may use any queue, and of ``buyer``, who may read one.
SHOP, BUYER = "token-of-shop-1", "token-of-buyer-1"
#: The queue that buyer may read.
MAILS = "mails"

_CONFIG = """
[[listen]]
address = "tcp:0:interface=127.0.0.1"
auth = "certificate|password"
tls = true
[tls]
certificate = "{certificate}"
key = "{key}"
client-ca = "{authority}"
client-certificate = "optional"
"""
_USERS = """
[user.shop]
token = "{shop}"
certificate = ["CN=Shop-1"]
write = ["*"]
read = ["*"]
manage = ["*"]
[user.buyer]
token = "{buyer}"
read = ["mails"]
"""


class OpsServer(Server):
    """A server of which the tests are an admin, by a socket of their own.

    :ivar folder: has its files, and its home.
    :ivar ports: TCP ports, that of ``--port`` first, then those of [[listen]].
    """

    def __init__(self, folder: str, config: str, users: str, *options: str) -> None:
        """Write its configuration.

        :param folder: has a short path, for a socket.
        :param config: of memq.toml; users is that of users.toml.
        """
        self.folder = folder
        self.ports: list[int] = []
        self._listening = 1 + config.count('address = "tcp:')
        self._socket = os.path.join(folder, "ops.sock")
        ops = f'[[listen]]\naddress = "unix:{self._socket}:mode=600"\nuser = "ops"\n'
        self.usersFile = os.path.join(folder, "users.toml")
        path = os.path.join(folder, "memq.toml")
        self.write(path, config + ops)
        self.write(self.usersFile, users + '[user.ops]\nrole = "admin"\n')
        super().__init__(os.path.join(folder, "home"), "--config", path, *options)

    @staticmethod
    def write(path: str, text: str) -> None:
        """Write a file that others must not read."""
        with open(path, "w", encoding="utf-8", opener=_private) as file:
            file.write(text)

    def start(self) -> Server:
        """Start it, and wait until it listens everywhere."""
        super().start()
        self.waitForLine(f"Listening on {self._socket}")
        for nth in range(1, self._listening + 1):
            line = self.waitForLine("Listening on 127.0.0.1:", nth)
            self.ports.append(int(line.rpartition(":")[2]))
        return self

    def connect(self) -> socket.socket:
        """Return a new connection of the admin."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(self._socket)
        return connection


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class GuardedServer(OpsServer):
    """The server of the clients.

    :ivar port: asks for a password.
    :ivar tlsPort: asks for a certificate over TLS, or else a password.
    """

    def __init__(self, folder: str, *options: str) -> None:
        """Write its configuration."""
        certificate, key = files().server
        config = _CONFIG.format(
            certificate=certificate, key=key, authority=files().authority.path
        )
        shop, buyer = (TokenHash.of(token.encode()) for token in (SHOP, BUYER))
        super().__init__(
            folder, config, _USERS.format(shop=shop, buyer=buyer), *options
        )

    @property
    def tlsPort(self) -> int:
        """The port of the listener with TLS."""
        return self.ports[1]


@functools.cache
def server(*options: str) -> GuardedServer:
    """Return a server for all tests; see memq.test.clients.cases."""
    found = GuardedServer(mkdtemp(prefix="memq-users-"), *options)
    lasting(found, found.folder)
    return found


class KnownCase(ReaderCase):
    """Promises that hold for a client with a user, who is no admin."""

    def server(self, *options: str) -> Server:
        """Return the server that asks who its clients are."""
        return server(*options)


class _Told(drivers.Driver):
    """A driver that says who it is."""

    user, secret = "shop", SHOP


class Emcache(_Told, fetched.Emcache):
    """Python's emcache, with ``username`` and ``password``."""


class AiskMemcache(_Told, fetched.AiskMemcache):
    """Python's memcache, with ``username`` and ``password``."""


class Bmemcached(_Told, fetched.Bmemcached):
    """python-binary-memcached, with ``username`` and ``password``."""


class Memjs(_Told, fetched.Memjs):
    """Node's memjs, with ``username`` and ``password``."""


class PHPMemcached(_Told, drivers.BinaryPHPMemcached):
    """PHP's extension memcached, with ``setSaslAuthData``."""


class Spymemcached(_Told, fetched.BinarySpymemcached):
    """Java's spymemcached, with an AuthDescriptor for PLAIN."""


class Pylibmc(_Told):
    """pylibmc, with ``username`` and ``password``; 8 among its flags is "compressed".

    Its wheel brings the library of SASL, and none of its mechanisms.
    """

    interpreter = (sys.executable,)
    script = "driver.py"
    library = "pylibmc"
    protocol = "binary"
    flags = libraries.Pylibmc.flags
    variables: ClassVar[dict[str, str]] = {
        "SASL_PATH": os.pathsep.join(glob("/usr/lib/*/sasl2")),
    }


class _Secured(drivers.Driver):
    """A driver that speaks TLS, and is known by its certificate."""

    files: tuple[str, ...] = (files().authority.path, *files().client)

    async def connect(self, port: int) -> None:
        """Connect to the port with TLS, whatever was asked for."""
        await super().connect(server().tlsPort)


class TLSEmcache(_Secured, Emcache):
    """Python's emcache with ``ssl_extra_ca``; it has nothing for a certificate."""

    files = (files().authority.path,)


class TLSAiomcache(_Secured, fetched.Aiomcache):
    """Python's aiomcache, with ``conn_args`` that have a context."""


class TLSBmemcached(_Secured, fetched.Bmemcached):
    """Python's python-binary-memcached, with ``tls_context``."""


class TLSMemcacheClient(_Secured, fetched.MemcacheClient):
    """Node's memcache-client, with ``tls``."""


class TLSDalli(_Secured, fetched.BinaryDalli):
    """Ruby's Dalli of Debian 13, with ``ssl_context``.

    That of Debian 12 fails in a get of several keys over TLS, whatever the server.
    """


class TLSMetaDalli(_Secured, fetched.MetaDalli):
    """Ruby's Dalli of Debian 13 in meta, with ``ssl_context``."""


class TLSPymemcache(libraries.Pymemcache):
    """pymemcache, with a ``tls_context`` that has a certificate."""

    certificate: ClassVar[tuple[str, ...]] = ()

    async def connect(self, port: int) -> None:
        """Connect."""
        context = files().clientContext(*(self.certificate or files().client))
        self.client = PymemcacheClient(
            ("127.0.0.1", port),
            serde=libraries.AsMessages(),
            timeout=PATIENCE,
            default_noreply=False,
            tls_context=context,
        )
