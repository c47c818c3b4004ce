"""Where a cluster is, as people write it: amqp://USER:PASSWORD@HOST:PORT,HOST:PORT/NAME.

NAME is the virtual host.  With ``amqps`` the connections have TLS.  What is left out
is RabbitMQ's default: the port, the virtual host ``/``, the user ``guest``.  No
password is ever in a message.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import pika
from twisted.internet.endpoints import HostnameEndpoint

from memq.access.secrets import readPrivate
from memq.errors import ConfigError
from memq.net.tlsclient import TLSEndpoint
from memq.rabbitmq.links.connections import Cluster, Node

if TYPE_CHECKING:
    from ssl import SSLContext

#: The ports that are meant where none is written.
PORT, SECURE_PORT = 5672, 5671
#: Bytes of a file with a password at most.
LONGEST = 4096
#: Seconds without a byte from a node after which it is asked for a sign; it is given up
#: after 5 more, and 15 at most.
HEARTBEAT = 5
#: Seconds until a node that does not answer counts as one that refuses.
CONNECT = 3.0

_URL = re.compile(
    r"(?P<scheme>amqps?)://(?:(?P<user>[^:@/]*)(?::(?P<password>[^@/]*))?@)?"
    r"(?P<places>[^@/?#]+)(?:/(?P<name>[^/?#]*))?"
)
_PLACE = re.compile(
    r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[^\[\]:,\s]+))(?::(?P<port>\d{1,5}))?"
)


class Place(NamedTuple):
    """One node's host and port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as it is written."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Address(NamedTuple):
    """Where a cluster is.

    :ivar isSecure: whether connections have TLS.
    :ivar places: its nodes, at least one.
    :ivar password: None if none was written.
    :ivar name: the virtual host.
    """

    isSecure: bool
    places: tuple[Place, ...]
    user: str
    password: str | None
    name: str


def parseAddress(url: str) -> Address:
    """Return what a URL says.

    :raises ValueError: if it is none, with what is allowed.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError("must be amqp://USER:PASSWORD@HOST:PORT,HOST:PORT/NAME")
    isSecure = match["scheme"] == "amqps"
    default = SECURE_PORT if isSecure else PORT
    places = tuple(_parsePlace(each, default) for each in match["places"].split(","))
    if len(set(places)) < len(places):
        raise ValueError("must name each node once")
    password = match["password"]
    return Address(
        isSecure,
        places,
        unquote(match["user"] or "guest"),
        None if password is None else unquote(password),
        unquote(match["name"] or "/"),
    )


def _parsePlace(words: str, default: int) -> Place:
    match = _PLACE.fullmatch(words)
    port = int(match["port"] or default) if match else 0
    if match is None or not 0 < port < 65536:
        raise ValueError(f"{words}: must be HOST or HOST:PORT, with a port up to 65535")
    return Place(match["six"] or match["host"], port)


def readPassword(path: str) -> str:
    """Return the password in a file: its first line.

    :raise memq.errors.ConfigError: if it cannot be read, or others can, or if there is
        none.
    """
    line = readPrivate(path, LONGEST).split(b"\n")[0].removesuffix(b"\r")
    try:
        password = line.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(path, 1, "must be UTF-8") from None
    if not password:
        raise ConfigError(path, 1, "must be the password")
    return password


def makeCluster(
    reactor: Any,
    address: Address,
    password: str,
    context: SSLContext | None = None,
) -> Cluster:
    """Return what links take.

    :param password: the user's.
    :param context: begins TLS; see :func:`memq.net.tlsclient.clientContext`.  None for
        connections without.
    """
    nodes = []
    for place in address.places:
        endpoint: Any = HostnameEndpoint(reactor, place.host, place.port, CONNECT)
        if context is not None:
            endpoint = TLSEndpoint(endpoint, context, place.host)
        nodes.append(Node(str(place), endpoint))
    parameters = pika.ConnectionParameters(
        virtual_host=address.name,
        credentials=pika.PlainCredentials(address.user, password),
        heartbeat=HEARTBEAT,
        client_properties={"product": "memq"},
    )
    return Cluster(nodes, parameters)
