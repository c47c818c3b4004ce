"""Where a cluster is: endpoints of its nodes, and the password from its file.

:mod:`memq.config.cluster` says how people write it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pika
from twisted.internet.endpoints import HostnameEndpoint

from memq.access.secrets import readPrivate
from memq.errors import ConfigError
from memq.net.tlsclient import TLSEndpoint
from memq.rabbitmq.links.connections import Cluster, Node
from memq.ratelimit import Rarely

if TYPE_CHECKING:
    from ssl import SSLContext

    from memq.config.cluster import Address

#: Bytes of a file with a password at most.
LONGEST = 4096
#: Seconds without a byte from a node after which it is asked for a sign; it is given up
#: after 5 more, and 15 at most.
HEARTBEAT = 5
#: Seconds until a node that does not answer counts as one that refuses.
CONNECT = 3.0


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
    return Cluster(nodes, parameters, Rarely(reactor.seconds))


def logIn(cluster: Cluster, user: str, password: str) -> None:
    """Let connections from now on be a user's, with another password."""
    cluster.parameters.credentials = pika.PlainCredentials(user, password)
