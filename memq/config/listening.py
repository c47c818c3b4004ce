"""Listeners and TLS, as the configuration file has them.

    [[listen]]
    address = "unix:/run/memq/memq.sock:mode=666"
    auth = "peer"                     # none, or some of peer, password, certificate
    [[listen]]
    address = "tcp:22211:interface=10.0.0.5"
    tls = true
    auth = "certificate|password"
    [[listen]]
    name = "producers"                # FileDescriptorName= of a socket of systemd's
    user = "producer"
    [tls]
    certificate = "/etc/memq/tls/chain.pem"
    key = "/etc/memq/tls/key.pem"     # or credential:NAME

What is allowed is checked here, but for what no file says by itself: whether there is
such a user, and whether an address can be had.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.config.settings import TEXT, TRUTH, Setting
from memq.config.toml import shown, tableLines
from memq.config.values import address, oneOf, permissions, something
from memq.display import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from memq.config.toml import Key, TOMLFile
    from memq.net.certificates import TLSSettings

    #: Makes the values of a table whose place the keys tell.
    Values = Callable[[Mapping[str, Setting], Any, tuple[Key, ...]], Mapping[str, Any]]

#: How clients can show who they are.
WAYS = ("peer", "password", "certificate")

_PLACES = (
    "must be a Twisted server endpoint, such as tcp:22201:interface=10.0.0.5, an "
    "address and a port, such as 10.0.0.5:22201, or unix:PATH:mode=660"
)
#: A part of a description; a backslash goes before a colon in it.
_PART = r"((?:[^:\\\0]|\\[^\0])+)"
_isUNIX = re.compile(f"unix:(?:address=)?{_PART}(?::mode=([^:]*))?").fullmatch
_isTCP = re.compile(f"tcp:(?:port=)?([0-9]{{1,5}})(?::interface={_PART})?").fullmatch
_CREDENTIAL = "credential:"


class Place(NamedTuple):
    """Where a listener is: a host and a port, a path, or an endpoint of Twisted's.

    :ivar text: how it stands in the file.
    :ivar host: an address, or the name of one; empty for no such listener.
    :ivar path: that of a UNIX socket.
    :ivar mode: its permissions; None if they are not said.
    """

    text: str
    host: str = ""
    port: int = 0
    path: str = ""
    mode: int | None = None

    @property
    def isUNIX(self) -> bool:
        """Whether clients come by a UNIX socket."""
        return self.text.startswith("unix:")


class Listen(NamedTuple):
    """A [[listen]] table.

    :ivar line: where it stands, file and line.
    :ivar place: None where only the service manager knows it.
    :ivar name: what the service manager calls the socket; empty for none.
    :ivar user: who all its clients are; empty for nobody.
    :ivar ways: of WAYS, those that clients may show who they are by: none of them for
        a listener that is open, None where that is not said.
    """

    line: str
    place: Place | None
    name: str = ""
    user: str = ""
    ways: frozenset[str] | None = None
    tls: bool = False


def _place(text: str) -> Place:
    unix, tcp = _isUNIX(text), _isTCP(text)
    if unix:
        mode = None if unix[2] is None else permissions(unix[2])
        return Place(text, path=_unescaped(unix[1]), mode=mode)
    if tcp:
        port = int(tcp[1])
        if port < 65536:
            return Place(text, _unescaped(tcp[2] or "0.0.0.0"), port)
    elif ":" in text and not text.startswith("unix:") and "\0" not in text:
        try:
            found = address(text)
        except ValueError:
            return Place(text)
        assert found is not None
        return Place(text, found.host, found.port)
    raise ValueError(_PLACES)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _ways(text: str) -> frozenset[str]:
    words = text.split("|")
    if text == "none":
        return frozenset()
    if set(words) <= set(WAYS):
        return frozenset(words)
    raise ValueError(f"must be none, or some of {', '.join(WAYS)} with | between them")


def _name(text: str) -> str:
    if re.fullmatch("[!-9;-~]{1,255}", text):
        return text
    raise ValueError(
        "must be a name that FileDescriptorName= can give: 1 to 255 letters of ASCII, "
        "but no blank and no :"
    )


_TRUTH = oneOf({"false": False, "true": True})
_PATH = something("a path")
_LISTEN = {
    setting.name: setting
    for setting in (
        Setting("address", TEXT, _place),
        Setting("name", TEXT, _name),
        Setting("user", TEXT, something("the name of a user")),
        Setting("auth", TEXT, _ways),
        Setting("tls", TRUTH, _TRUTH),
    )
}


def readListens(file: TOMLFile, tables: Any, values: Values) -> tuple[Listen, ...]:
    """Return the [[listen]] tables of a file.

    :param tables: what TOML has made of its ``listen``.
    :raise memq.errors.ConfigError: when one is not as it should be.
    """
    if type(tables) is not list or not all(type(each) is dict for each in tables):
        file.refuse(f"listen = {shown(tables)}", "must be tables, [[listen]]", "listen")
    lines = tableLines(file.text, "listen") if tables else []
    path = os.path.abspath(file.path)
    found: list[Listen] = []
    for number, table in enumerate(tables):
        said = values(_LISTEN, table, ("listen", number))
        # A list of tables in braces begins on one line.
        line = lines[number] if number < len(lines) else file.line("listen")
        listen = Listen(
            f"{path} line {line}",
            said.get("address"),
            said.get("name", ""),
            said.get("user", ""),
            said.get("auth"),
            said.get("tls", False),
        )
        _check(file, number, listen, found)
        found.append(listen)
    return tuple(found)


def _check(file: TOMLFile, number: int, listen: Listen, before: list[Listen]) -> None:
    """Look whether the values of a table go together."""

    def refuse(key: str, value: object, why: str) -> None:
        file.refuse(f"{key} = {value}", why, "listen", number, key)

    place, ways = listen.place, listen.ways or frozenset()
    auth = quoted("|".join(each for each in WAYS if each in ways))
    if place is None and not listen.name:
        file.refuse("[[listen]]", "needs an address or a name", "listen", number)
    if listen.name and listen.name in [each.name for each in before]:
        refuse("name", quoted(listen.name), "is that of another [[listen]]")
    if listen.user and ways:
        refuse("auth", auth, "does not go with user, which all its clients are")
    if "certificate" in ways and not listen.tls:
        refuse("auth", auth, "certificate needs tls = true")
    if "peer" in ways and place is not None and not place.isUNIX:
        refuse("auth", auth, "peer needs a UNIX socket")


def checkTLS(
    file: TOMLFile, listens: tuple[Listen, ...], tls: TLSSettings | None
) -> None:
    """Look whether there is what listeners with TLS need.

    :raise memq.errors.ConfigError: when there is not.
    """
    for number, listen in enumerate(listens):
        if listen.tls and tls is None:
            why = "needs a table [tls] with certificate and key"
            file.refuse("tls = true", why, "listen", number, "tls")
        asks = tls is not None and tls.clientCertificate != "none"
        if "certificate" in (listen.ways or ()) and not asks:
            why = "certificate needs a client-ca in [tls]"
            file.refuse("auth = ...", why, "listen", number, "auth")


def readTLS(file: TOMLFile, table: Any, values: Values) -> TLSSettings | None:
    """Return what [tls] says; None where it says nothing.

    Paths in it begin in the directory of the file.

    :raise memq.errors.ConfigError: when it is not as it should be.
    """
    if type(table) is not dict:
        file.refuse(f"tls = {shown(table)}", "must be one table, [tls]", "tls")
    if not table:
        return None
    # It takes time to load, and most that read a file need none of it.
    from memq.net.certificates import CLIENT_CERTIFICATES, MINIMA, TLSSettings

    settings = (
        Setting("certificate", TEXT, _PATH),
        Setting("key", TEXT, something("a path, or credential:NAME")),
        Setting("client-ca", TEXT, _PATH),
        Setting("client-certificate", TEXT, oneOf(_same(CLIENT_CERTIFICATES))),
        Setting("minimum", TEXT, oneOf(_same(MINIMA))),
    )
    said = values({each.name: each for each in settings}, table, ("tls",))
    for name in ("certificate", "key"):
        if name not in said:
            file.refuse("[tls]", f"needs a {name}", "tls")
    authorities = said.get("client-ca")
    asks = said.get("client-certificate", "none" if authorities is None else "optional")
    if authorities is None and asks != "none":
        what = f"client-certificate = {quoted(asks)}"
        file.refuse(what, "needs a client-ca", "tls", "client-certificate")

    def path(name: str) -> str:
        beside = os.path.dirname(os.path.abspath(file.path))
        return os.path.join(beside, said[name])

    isHandedOver = said["key"].startswith(_CREDENTIAL)
    return TLSSettings(
        path("certificate"),
        said["key"] if isHandedOver else path("key"),
        None if authorities is None else path("client-ca"),
        asks,
        said.get("minimum", "1.2"),
    )


def _same(words: Mapping[str, object]) -> dict[str, str]:
    """Return words that stand for themselves."""
    return {word: word for word in words}
