"""Listeners: TCP ports, UNIX sockets and Twisted's endpoints.

A mistake in an address is to be told before the server goes into the background; but
nobody may connect before the store is open.  So there are two steps: everything here is
checked, and TCP ports are bound, when it is made; ``listen`` comes later, and then from
the user that the server runs as.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError

from memq.errors import OptionError
from memq.net.transport import sendAtOnce

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IListeningPort, IProtocolFactory
    from twisted.python.failure import Failure

    from memq.net.poller import Poller

#: Connections that may wait to be accepted, as in MemcacheQ.
BACKLOG = 1024


class Listener(Protocol):
    """Something that clients can come in by."""

    def listen(
        self, poller: Poller, factory: IProtocolFactory
    ) -> Deferred[IListeningPort]:
        """Let clients in, whose sockets the poller watches; fails with OptionError."""

    def close(self) -> None:
        """Let go of what is held."""


def adopt(
    poller: Poller, listening: socket.socket, factory: IProtocolFactory
) -> Deferred[IListeningPort]:
    """Return a port that sends at once; it takes the place of a TCP socket."""
    number, family = listening.fileno(), listening.family
    port = poller.reactor.adoptStreamPort(number, family, factory)
    # The reactor has a descriptor of its own.
    listening.close()
    return succeed(sendAtOnce(port, poller))


class Said(NamedTuple):
    """How a person has said where to listen: an option, or a line of a file.

    :ivar option: with its value behind it, it begins each mistake.
    """

    option: str
    value: str


class TCPListener:
    """A bound TCP socket.

    :ivar address: the host and the port that it is bound to.
    """

    def __init__(self, bound: socket.socket, said: Said | None = None) -> None:
        """Take it, and what said so if that was not --listen and --port."""
        bound.setblocking(False)
        self._socket = bound
        self._said = said
        self.address: tuple[str, int] = bound.getsockname()[:2]

    def listen(
        self, poller: Poller, factory: IProtocolFactory
    ) -> Deferred[IListeningPort]:
        """Let clients in.

        It fails with OptionError when somebody else bound the port as well, and
        listened first.
        """
        try:
            self._socket.listen(BACKLOG)
        except OSError as error:
            return fail(_cannotBind(*self.address, error, self._said))
        return adopt(poller, self._socket, factory)

    def close(self) -> None:
        """Give up the port."""
        self._socket.close()


class LateListener:
    """An address that is bound when it listens."""

    def __init__(
        self,
        listen: Callable[[Any, IProtocolFactory], Deferred[IListeningPort]],
        said: Said,
    ) -> None:
        """Take what listens, and what says so."""
        self._listen = listen
        self._said = said

    def listen(
        self, poller: Poller, factory: IProtocolFactory
    ) -> Deferred[IListeningPort]:
        """Let clients in; it fails with OptionError."""
        listening = self._listen(poller.reactor, factory)
        listening.addCallback(sendAtOnce, poller)
        return listening.addErrback(self._ebCannotListen)

    def _ebCannotListen(self, failure: Failure) -> NoReturn:
        failure.trap(CannotListenError, OSError)
        why = f"cannot listen: {failure.getErrorMessage()}"
        raise OptionError(*self._said, why)

    def close(self) -> None:
        """Do nothing: nothing is held."""


def bindTCP(host: str, port: int, said: Said | None = None) -> list[TCPListener]:
    """Bind a port on an address, or on each address of a name.

    :param host: an IPv4 or IPv6 address, or a name.
    :param port: 0 to 65535; 0 takes a free one.
    :param said: what says so; None for --listen and --port.
    :raise memq.errors.OptionError: when one of them cannot be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a name"
        what = said or Said("--listen", host)
        raise OptionError(*what, f"no such address: {reason}") from error
    bound: list[TCPListener] = []
    for family, _, _, _, address in found:
        try:
            bound.append(_bind(family, address, said))
        except OSError as error:
            for listener in bound:
                listener.close()
            raise _cannotBind(host, port, error, said) from error
    return bound


def checkUNIX(path: str, mode: int, said: Said | None = None) -> LateListener:
    """Check that a UNIX socket can be made, and remove one that nobody serves.

    :param path: the path; a relative one starts where the process is now.
    :param mode: the permissions of the socket, 0 to 0o777.
    :param said: what says so; None for --socket.
    :raise memq.errors.OptionError: when it cannot be made.
    """
    path = os.path.abspath(path)
    said = said or Said("--socket", path)
    try:
        removeStale(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
            trial.bind(path)
        os.unlink(path)
    except OSError as error:
        # "AF_UNIX path too long" comes without an error number.
        reason = error.strerror or str(error)
        raise OptionError(*said, f"cannot listen: {reason}") from error

    def listen(reactor: Any, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        return maybeDeferred(
            reactor.listenUNIX, path, factory, backlog=BACKLOG, mode=mode
        )

    return LateListener(listen, said)


def parseEndpoint(
    reactor: Any, description: str, said: Said | None = None
) -> LateListener:
    """Return a listener for a Twisted endpoint string.

    :param description: such as ``tcp:22201:interface=::``.
    :param said: what says so; None for --endpoint.
    :raise memq.errors.OptionError: when it is not such a string.
    """
    said = said or Said("--endpoint", description)
    try:
        endpoint: Any = serverFromString(reactor, description)
    except Exception as error:
        # The parsers are plugins, anybody's, and each has errors of its own.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        allowed = f"must be a Twisted server endpoint string ({reason})"
        raise OptionError(*said, allowed) from error
    return LateListener(lambda _, factory: endpoint.listen(factory), said)


def _bind(family: int, address: Any, said: Said | None) -> TCPListener:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return TCPListener(bound, said)


def _cannotBind(host: str, port: int, error: OSError, said: Said | None) -> OptionError:
    """Say which option is at fault, and what to do."""
    byPort = said or Said("--port", str(port))
    if error.errno == errno.EADDRINUSE:
        return OptionError(
            *byPort,
            f"in use by another program on {host}; stop that, or give another port",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        byHost = said or Said("--listen", host)
        return OptionError(*byHost, "must be an address of this machine")
    return OptionError(*byPort, f"cannot listen on {host}: {error.strerror}")


def shownAddress(address: object) -> str:
    """Return where a port listens, as a person writes it."""
    if isinstance(address, IPv6Address):
        return f"[{address.host}]:{address.port}"
    if isinstance(address, IPv4Address):
        return f"{address.host}:{address.port}"
    if isinstance(address, UNIXAddress) and address.name is not None:
        return os.fsdecode(address.name)
    return str(address)


def removeStale(path: str) -> None:
    """Remove a socket that nobody listens on.

    :raise OSError: when what is there is not such a socket.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "it exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor:
        visitor.setblocking(False)
        try:
            visitor.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(errno.EADDRINUSE, "in use by another server")
