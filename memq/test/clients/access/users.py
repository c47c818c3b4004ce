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
address = "unix:{home}/ops.sock:mode=600"
user = "ops"
[[listen]]
address = "tcp:0:interface=127.0.0.1"
auth = "certificate"
tls = true
[tls]
certificate = "{certificate}"
key = "{key}"
client-ca = "{authority}"
client-certificate = "required"
[user.ops]
role = "admin"
[user.shop]
token = "{shop}"
certificate = ["CN=Shop-1"]
write = ["*"]
read = ["*"]
manage = ["*"]
[user.buyer]
token = "{buyer}"
certificate = ["CN=Buyer-1"]
read = ["mails"]
"""


class GuardedServer(Server):
    """A server with users.

    :ivar port: asks for a password.
    :ivar tlsPort: asks for a certificate.
    """

    tlsPort = 0

    def __init__(self, home: str, *options: str) -> None:
        """Write its configuration beside its data."""
        certificate, key = files().server
        self._socket = os.path.join(home, "ops.sock")
        path = os.path.join(home, "memq.toml")
        text = _CONFIG.format(
            home=home,
            certificate=certificate,
            key=key,
            authority=files().authority.path,
            shop=TokenHash.of(SHOP.encode()),
            buyer=TokenHash.of(BUYER.encode()),
        )
        with open(path, "w", encoding="utf-8", opener=_private) as file:
            file.write(text)
        super().__init__(home, "--config", path, *options)

    def start(self) -> Server:
        """Start it, and wait until it listens everywhere."""
        super().start()
        line = self.waitForLine("Listening on 127.0.0.1:", 2)
        self.tlsPort = int(line.rpartition(":")[2])
        return self

    def connect(self) -> socket.socket:
        """Return a new connection of an admin, which the tests themselves are."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(self._socket)
        return connection


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@functools.cache
def server(*options: str) -> GuardedServer:
    """Return a server for all tests; see memq.test.clients.cases."""
    # A short path, for a socket.
    found = GuardedServer(mkdtemp(prefix="memq-users-"), *options)
    lasting(found)
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
