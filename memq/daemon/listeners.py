"""Listeners of a server: what options, tables and the service manager say, and to whom.

Sockets of the service manager take the place of all options.  A [[listen]] table whose
name one of them has says what that one asks of clients; any other table is listened on
for itself.  Without a table, a listener asks who clients are as soon as there are
users.
"""

from __future__ import annotations

import os
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.logger import Logger
from twisted.python.util import runAsEffectiveUser

from memq.access.admission import CERTIFICATE, PASSWORD, PEER, Admission
from memq.errors import ConfigError
from memq.net.activation import firstEnvironment, takeListeners
from memq.net.listeners import (
    Said,
    bindTCP,
    checkUNIX,
    parseEndpoint,
    shownAddress,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IListeningPort

    from memq.config.commandline import Options
    from memq.config.listening import Listen, Place
    from memq.daemon.security import Encryption, Security
    from memq.net.activation import GivenListener
    from memq.net.listeners import Listener
    from memq.net.poller import Poller
    from memq.server.factory import QueueFactory

#: Options that say where to listen; --endpoint is another one.
_ADDRESSES = ("port", "listen", "socket", "socket-mode")

_log = Logger()


class ServedListener:
    """A listener, and what it asks of its clients.

    :ivar admission: says that.
    """

    def __init__(
        self,
        listener: Listener,
        *,
        isUNIX: bool,
        table: Listen | None = None,
        encryption: Encryption | None = None,
    ) -> None:
        """Take it.

        :param table: what says more about it; None for nothing.
        :param encryption: TLS; None for none.
        """
        self._listener = listener
        self._encryption = encryption
        self.admission = self._admission(isUNIX, table)

    def _admission(self, isUNIX: bool, table: Listen | None) -> Admission:
        if table is not None and table.user:
            return Admission(table.user)
        if table is not None and table.ways is not None:
            return Admission(ways=table.ways)
        ways = {PASSWORD, PEER} if isUNIX else {PASSWORD}
        if self._encryption is not None and self._encryption.asks:
            ways.add(CERTIFICATE)
        return Admission(ways=frozenset(ways), whenUsers=True)

    def listen(self, poller: Poller, factory: QueueFactory) -> Deferred[IListeningPort]:
        """Let clients in; it fails with OptionError."""
        served: Any = factory.through(self.admission)
        if self._encryption is not None:
            served = self._encryption.wrap(served)
        listening = self._listener.listen(poller, served)
        return listening.addCallback(self._cbListening, factory)

    def _cbListening(self, port: IListeningPort, factory: QueueFactory) -> Any:
        """Warn of what may not be meant so."""
        host, access = port.getHost(), factory.access
        isOpen = access.isOpen(self.admission)
        if isOpen and self._encryption is None and _isFar(host):
            _log.warn(
                "{address} has neither authentication nor TLS: whoever reaches it can "
                "read, add and delete everything; see [[listen]] in memq.toml(5)",
                address=shownAddress(host),
            )
        if not (isOpen or self.admission.user or access.hasUsers):
            _log.warn(
                "Nobody can come in by {address}: there are no users",
                address=shownAddress(host),
            )
        return port

    def close(self) -> None:
        """Let go of what is held."""
        self._listener.close()


def _isFar(address: object) -> bool:
    """Return whether others than this machine may reach an address."""
    if not isinstance(address, IPv4Address | IPv6Address):
        return False
    return not ip_address(address.host.partition("%")[0]).is_loopback


def takeServed(
    options: Options,
    reactor: Any,
    owner: tuple[int, int],
    security: Security,
    undo: ExitStack,
) -> list[ServedListener]:
    """Return what to listen on.

    A UNIX socket belongs to ``owner``; a TCP port below 1024 needs root.

    :raise memq.errors.StartError: when an address cannot be had.
    """
    given = _given(options, undo)
    tables = {table.name: table for table in options.listens if table.name}
    found = [_served(each, tables.get(each.name), security) for each in given]
    if not given:
        found += _ofOptions(options, reactor, owner, undo)
    names = {each.name for each in given}
    for table in options.listens:
        if table.name not in names:
            found += _ofTable(table, options, reactor, owner, security, undo)
    return found


def _served(
    given: GivenListener, table: Listen | None, security: Security
) -> ServedListener:
    """Return a socket of the service manager, as its table has it."""
    if table is not None and PEER in (table.ways or ()) and not given.isUNIX:
        why = f"auth: peer needs a UNIX socket, and {given.name} is none"
        raise ConfigError(table.line, None, why)
    encryption = security.queues if table is not None and table.tls else None
    return ServedListener(
        given, isUNIX=given.isUNIX, table=table, encryption=encryption
    )


def _given(options: Options, undo: ExitStack) -> list[GivenListener]:
    """Return what the service manager gave to listen on, instead of any option.

    :raise memq.errors.StartError: when memq cannot listen on it.
    """
    given = takeListeners(firstEnvironment())
    for listener in given:
        undo.callback(listener.close)
    unused = [f"--{name}" for name in _ADDRESSES if name in options.given]
    if options["endpoint"]:
        unused.append("--endpoint")
    if given and unused:
        _log.info(
            "The service manager says where to listen, and not {unused}",
            unused=", ".join(unused),
        )
    return given


def _ofOptions(
    options: Options, reactor: Any, owner: tuple[int, int], undo: ExitStack
) -> Iterator[ServedListener]:
    """Yield what options say to listen on."""
    isElsewhere = options["socket"] or options["endpoint"] or options.listens
    if "port" in options.given or not isElsewhere:
        bound = bindTCP(options["listen"], options["port"])
        for listener in bound:
            undo.callback(listener.close)
        yield from (ServedListener(each, isUNIX=False) for each in bound)
    if options["socket"]:
        address = options["socket"], options["socket-mode"]
        checked = runAsEffectiveUser(*owner, checkUNIX, *address)
        yield ServedListener(checked, isUNIX=True)
    for text in options["endpoint"]:
        isUNIX = text.startswith("unix:")
        yield ServedListener(parseEndpoint(reactor, text), isUNIX=isUNIX)


def _ofTable(
    table: Listen,
    options: Options,
    reactor: Any,
    owner: tuple[int, int],
    security: Security,
    undo: ExitStack,
) -> Iterator[ServedListener]:
    """Yield what a table says to listen on."""
    place = table.place
    if place is None:
        why = f'name = "{table.name}": it has no address, and systemd has given no '
        raise ConfigError(table.line, None, f"{why}socket of that name")
    encryption = security.queues if table.tls else None
    for listener in _bound(place, table, options, reactor, owner):
        undo.callback(listener.close)
        yield ServedListener(
            listener, isUNIX=place.isUNIX, table=table, encryption=encryption
        )


def _bound(
    place: Place, table: Listen, options: Options, reactor: Any, owner: tuple[int, int]
) -> list[Any]:
    said = Said(f"{table.line}: address =", f'"{place.text}"')
    if place.path:
        mode = options["socket-mode"] if place.mode is None else place.mode
        path = os.path.abspath(place.path)
        return [runAsEffectiveUser(*owner, checkUNIX, path, mode, said)]
    if place.host:
        return list(bindTCP(place.host, place.port, said))
    return [parseEndpoint(reactor, place.text, said)]
