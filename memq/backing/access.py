"""Access to a cluster: who this server is there, and whom it believes.

The password and the authorities stand in files, which are read again with the rules.
Connections that there are stay; the next ones have what is read.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.client import Agent
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from memq.net.tlsclient import TLSEndpoint, clientContext
from memq.rabbitmq.links.places import CONNECT, logIn, makeCluster, readPassword
from memq.rabbitmq.telling import Telling

if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext

    from twisted.internet.defer import Deferred
    from twisted.web.client import URI

    from memq.config.commandline import Options
    from memq.config.file import Config
    from memq.rabbitmq.links.connections import Cluster
    from memq.rabbitmq.policies import Policy


@implementer(IStreamClientEndpoint)
class QuietEndpoint:
    """Connects without a line in the log for each connection."""

    def __init__(self, beneath: IStreamClientEndpoint) -> None:
        """Take what connects."""
        self._beneath = beneath

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Connect."""
        protocolFactory.noisy = False
        connected: Deferred[Any] = self._beneath.connect(protocolFactory)
        return connected


@implementer(IAgentEndpointFactory)
class Doors:
    """What connects to the nodes' management API.

    :ivar context: begins TLS; None where nothing has it.
    """

    def __init__(self, reactor: Any, context: SSLContext | None) -> None:
        self._reactor = reactor
        self.context = context

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Return what connects to a node."""
        host = uri.host.decode("ascii")
        endpoint: Any = HostnameEndpoint(self._reactor, host, uri.port, CONNECT)
        if uri.scheme == b"https":
            assert self.context is not None
            endpoint = TLSEndpoint(endpoint, self.context, host)
        return QuietEndpoint(endpoint)


class ClusterAccess:
    """What connects to a cluster's nodes, by AMQP and by HTTP.

    :ivar paths: the files that are read.
    """

    def __init__(self, options: Options) -> None:
        """Read the files.

        :raise memq.errors.ConfigError: when one cannot be taken.
        """
        self._address = options["rabbitmq"]
        self._places = options["rabbitmq-management"] or self._address.management
        # twistd may change the directory.
        self._passwordFile = _absolute(options["rabbitmq-password-file"])
        self._ca = _absolute(options["rabbitmq-ca"])
        named = self._passwordFile, self._ca
        self.paths = [path for path in named if path is not None]
        self._isSecure = self._address.isSecure or any(
            each.startswith("https:") for each in self._places
        )
        self._reactor: Any = None
        self._password, self._context = self._read()

    def _read(self) -> tuple[str, SSLContext | None]:
        password = self._address.password
        if self._passwordFile is not None:
            password = readPassword(self._passwordFile)
        return password, clientContext(self._ca) if self._isSecure else None

    def connect(self, reactor: Any) -> tuple[Cluster, Telling]:
        """Return where the nodes are, and who asks them by HTTP."""
        self._reactor = reactor
        address, password = self._address, self._password
        context = self._context if address.isSecure else None
        self._cluster = makeCluster(reactor, address, password, context)
        self._doors = Doors(reactor, self._context)
        self._telling = self._newest = self._asks(self._doors, password)
        return self._cluster, self._telling

    def _asks(self, doors: Doors, password: str) -> Telling:
        agent = Agent.usingEndpointFactory(self._reactor, doors)
        who = self._address.user, password, self._address.name
        return Telling(self._reactor, agent, self._places, *who)

    def policies(self) -> Deferred[tuple[list[Policy], list[Policy]]]:
        """Ask for policies as somebody who knows what was read last.

        A password that was changed on the cluster would never hold here, if rules had
        to be compared before it.
        """
        return self._newest.policies()

    def prepare(self, config: Config) -> Callable[[], None]:
        """Read the files again, and change nothing; return what lets it hold."""
        password, context = self._read()
        self._newest = self._asks(Doors(self._reactor, context), password)

        def hold() -> None:
            user = self._address.user
            self._doors.context = context
            self._telling.logIn(user, password)
            logIn(self._cluster, user, password)
            for node in self._cluster.nodes:
                if isinstance(node.endpoint, TLSEndpoint):
                    assert context is not None
                    node.endpoint.context = context

        return hold


def _absolute(path: str | None) -> str | None:
    return None if path is None else os.path.abspath(path)
