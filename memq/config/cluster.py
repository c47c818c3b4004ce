"""Where a cluster of RabbitMQ is: amqp://USER:PASSWORD@HOST:PORT,HOST:PORT/NAME.

NAME is the virtual host.  With ``amqps`` the connections have TLS.  What is left out
is RabbitMQ's default: the port, the virtual host ``/``, the user ``guest``.  No
password is ever in a message, nor among the options that clients are told.

Which options go together is checked here, too: those of a cluster, and those that only
a store of this process has.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

#: The ports that are meant where none is written.
PORT, SECURE_PORT = 5672, 5671
#: How much above a node's port of AMQP the one of its management API is.
MANAGEMENT = 10_000
#: Bytes of a message that a node takes from RabbitMQ 4.0 on, if nobody has changed it.
MOST_BODY = 16 << 20

_URL = re.compile(
    r"(?P<scheme>amqps?)://(?:(?P<user>[^:@/]*)(?::(?P<password>[^@/]*))?@)?"
    r"(?P<places>[^@/?#]+)(?:/(?P<name>[^/?#]*))?"
)
_PLACE = re.compile(
    r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[^\[\]:,\s\0]+))(?::(?P<port>\d{1,5}))?"
)
_API = re.compile(r"https?://(?:\[[0-9a-fA-F:.]+\]|[^\[\]:,/@?#\s\0]+):(\d{1,5})/?")

#: Options that a cluster alone has; the first one has to be there.
_OURS = (
    "rabbitmq",
    "rabbitmq-password-file",
    "rabbitmq-ca",
    "rabbitmq-management",
    "store-timeout",
    "accept-mnesia",
)
#: Options that only a store of this process has.
_LOCAL = (
    *("home", "cache-size", "log-buffer", "page-size", "min-free", "checkpoint"),
    *("trickle", "trickle-percent", "no-sync", "auto-remove-logs", "keep-logs"),
    "skip-damaged",
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

    def __str__(self) -> str:
        """Return it as it is written, but for the password."""
        scheme = "amqps" if self.isSecure else "amqp"
        places = ",".join(map(str, self.places))
        name = quote(self.name, "")
        return f"{scheme}://{quote(self.user, '')}@{places}/{name}"

    @property
    def management(self) -> tuple[str, ...]:
        """Return where the nodes' management API is, if nobody says where."""
        scheme = "https" if self.isSecure else "http"
        moved = (each._replace(port=each.port + MANAGEMENT) for each in self.places)
        return tuple(f"{scheme}://{each}" for each in moved)


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


def parseManagement(urls: str) -> tuple[str, ...]:
    """Return where the management API is, on one node or more.

    :raises ValueError: if a URL is none, with what is allowed.
    """
    found = urls.split(",")
    for each in found:
        match = _API.fullmatch(each)
        if match is None or not 0 < int(match[1]) < 65536:
            raise ValueError("must be http://HOST:PORT or https://HOST:PORT, with ,")
    return tuple(each.rstrip("/") for each in found)


def meaningless(store: str) -> tuple[str, ...]:
    """Return the options that mean nothing with a kind of store."""
    return _LOCAL if store == "rabbitmq" else _OURS


def conflict(options: Mapping[str, Any], given: Set[str]) -> str | None:
    """Return in a line which options exclude each other, or lack one; None for none.

    :param given: the names of those that were given.
    """
    ours = [name for name in _OURS if name in given]
    if options["store"] != "rabbitmq":
        named = ", ".join(f"--{name}" for name in ours)
        return f"{named}: only with --store rabbitmq" if ours else None
    local = ", ".join(f"--{name}" for name in _LOCAL if name in given)
    if local:
        return f"{local}: not with --store rabbitmq, which keeps nothing here"
    return _lack(options, options["rabbitmq"])


def _lack(options: Mapping[str, Any], address: Address | None) -> str | None:
    """Return what is wrong with the options of a cluster."""
    path = options["rabbitmq-password-file"]
    if address is None:
        return "--store rabbitmq: needs --rabbitmq amqp://USER@HOST,HOST,HOST/NAME"
    if address.password is None and path is None:
        return "--rabbitmq: needs a password, best in a --rabbitmq-password-file"
    if address.password is not None and path is not None:
        return "--rabbitmq-password-file: there is a password in --rabbitmq"
    if options["rabbitmq-ca"] is not None and not address.isSecure:
        return "--rabbitmq-ca: only with --rabbitmq amqps://..."
    if options["max-body"] > MOST_BODY:
        return "--max-body: at most 16M with --store rabbitmq"
    return None
