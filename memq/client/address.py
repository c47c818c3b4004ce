"""Server address: where a client finds the server, and a socket to it."""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING, NamedTuple

from memq.errors import CommandError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping

    from memq.config.file import Config

#: Names the server where no option does.
VARIABLE = "MEMQ_SERVER"
#: The socket of a service, as the configuration file has it in its example.
SOCKET = "/run/memq/memq.sock"
#: The port without any other word.
PORT = 22201
#: Seconds that a server may take to accept.
PATIENCE = 10.0

#: HOST:PORT, [HOST]:PORT, HOST or PORT.
_TCP = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]*[^:\[\]\d][^:\[\]]*)?)(?::?(\d{1,5}))?")
#: Addresses to listen on that are no addresses to connect to.
_EVERY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


class Address(NamedTuple):
    """The place of a server: the path of a UNIX socket, or else host and port."""

    path: str = ""
    host: str = "127.0.0.1"
    port: int = PORT

    def __str__(self) -> str:
        """Return it as --server takes it."""
        if self.path:
            return self.path
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def connect(self, context: ssl.SSLContext | None = None) -> socket.socket:
        """Return a connection; raise OSError when there is none to be had.

        :param context: what TLS is spoken with, but for the path of a socket, which
            nobody can listen to; None for no TLS.
        """
        if self.path:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.settimeout(PATIENCE)
                connection.connect(self.path)
            except BaseException:
                connection.close()
                raise
        else:
            connection = socket.create_connection((self.host, self.port), PATIENCE)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if context is not None:
                # It closes the connection where that fails.
                connection = context.wrap_socket(connection, server_hostname=self.host)
        connection.settimeout(None)
        return connection


def parseAddress(text: str) -> Address:
    """Return the address that a text is.

    :param text: the path of a UNIX socket with a ``/`` in it, perhaps behind
        ``unix:``, or ``HOST:PORT``, ``HOST``, ``PORT``.
    :raise ValueError: when it is none of these.
    """
    path = text.removeprefix("unix:")
    if path and (path != text or "/" in path):
        return Address(path)
    found = _TCP.fullmatch(text)
    if not text or found is None:
        raise ValueError(f"{text!r} is neither HOST:PORT nor a path")
    port = PORT if found[3] is None else int(found[3])
    if not 0 < port < 65536:
        raise ValueError(f"there is no port {port}")
    return Address("", found[1] or found[2] or "127.0.0.1", port)


def addresses(
    server: str | None,
    variables: Mapping[str, str] = os.environ,
    config: str | None = None,
) -> list[Address]:
    """Return where the server may be, in the order in which to try.

    :param server: what --server says, None without it.
    :param config: the configuration file; None for the usual one, if it is there.
    :raise memq.errors.CommandError: when that or the variable is no address.
    :raise memq.errors.ConfigError: when the configuration file cannot be read.
    """
    for name, text in (("--server", server), (VARIABLE, variables.get(VARIABLE))):
        if text:
            try:
                return [parseAddress(text)]
            except ValueError as error:
                raise CommandError(f"{name}: {error}", 2) from None
    # The file's grammar takes a tenth of a second to load.
    from memq.config import file

    if config is None and not os.access(file.DEFAULT, os.R_OK):
        # It is not there; or it has secrets, and is none of this user's business.
        return _usual()
    return [*_configured(file.findConfig(config)), *_usual()]


def _configured(config: Config) -> Iterable[Address]:
    """Yield where a server with this configuration listens without TLS."""
    settings = config.server
    if "socket" in settings:
        yield Address(str(settings["socket"]))
    if "port" in settings or "listen" in settings:
        host = str(settings.get("listen", ""))
        yield Address("", _EVERY.get(host, host), int(str(settings.get("port", PORT))))
    for listen in config.listens:
        place = listen.place
        if place is not None and place.path:
            yield Address(place.path)
        elif place is not None and place.port and not listen.tls:
            yield Address("", _EVERY.get(place.host, place.host), place.port)


def _usual() -> list[Address]:
    there = [Address(SOCKET)] if os.path.lexists(SOCKET) else []
    return [*there, Address()]


def connectTo(
    places: Iterable[Address], context: ssl.SSLContext | None = None
) -> socket.socket:
    """Return a connection to the first place that accepts one.

    :param context: what TLS is spoken with; None for no TLS.
    :raise memq.errors.CommandError: when none does.
    """
    failures = []
    for place in dict.fromkeys(places):
        try:
            return place.connect(context)
        except OSError as error:
            failures.append(f"{place}: {_why(error)}")
    raise CommandError(f"no server: {'; '.join(failures)}")


def _why(error: OSError) -> str:
    """Return why there is no connection."""
    untrusted = getattr(error, "verify_message", "")
    if untrusted:
        return f"its certificate is not trusted: {untrusted} (--ca)"
    # Its classes are in a module that is slow to import.
    if type(error).__name__.startswith("SSL"):
        reason = getattr(error, "reason", None) or "the server closed the connection"
        return f"no TLS: {reason}"
    return error.strerror or str(error)
