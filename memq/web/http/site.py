"""Site: HTTP requests within bounds, and what is said on every reply.

- At most CONNECTIONS connections.  One more takes the place of that which has been
  without a whole request for longest; where all are at work, it is closed at once.
- What a connection sends at once is answered one request a turn.
- Line and headers have the bounds of twisted.web; a body of more than BODY bytes is
  refused before it comes.
- The name of the host that a request is for has to be one of this machine's: an
  address, localhost, or one that is configured.  A page of another host, whose name was
  made to lead here, is refused that way whatever it asks for.  A request that names
  none is of no browser.

Twisted 22.4 has no pages of its own that say no, so replies are made here.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import connectionDone
from twisted.web import http, server
from twisted.web.resource import Resource

from memq.access.authenticator import Tries

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from twisted.internet.interfaces import IAddress

#: Connections at a time, and seconds that one may send nothing.
CONNECTIONS = 64
IDLE_SECONDS = 120
#: Bytes of the largest body of a request.
BODY = 64 * 1024

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    # No text becomes HTML or a script, whatever the page would do with it.
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
#: What every reply says.
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_TOO_LARGE = (
    b"HTTP/1.1 413 Request Entity Too Large\r\nConnection: close\r\n"
    b"Content-Length: 0\r\n\r\n"
)


def say(request: Any, code: int, text: str) -> bytes:
    """Return the body of a reply that is plain text, once its headers are set.

    :param text: lines without the last line's end.
    """
    request.setResponseCode(code)
    request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
    return f"{text}\n".encode()


class Page(Resource):
    """A resource without children that is only looked at.

    :ivar isLeaf: whether it takes the rest of the path, too.
    """

    def getChild(self, path: bytes, request: Any) -> Resource:
        """Return what says that there is nothing."""
        return Missing()

    def render(self, request: Any) -> Any:
        """Return the reply; HEAD is answered as GET is, and the body left out."""
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader(b"Allow", b"GET, HEAD")
            return say(request, 405, "only GET and HEAD")
        body = self.show(request)
        if request.method == b"HEAD" and isinstance(body, bytes) and body:
            # Twisted would leave it out as well, with a line in the log.
            request.setHeader(b"Content-Length", b"%d" % len(body))
            return b""
        return body

    def show(self, request: Any) -> Any:
        """Return the body, or twisted.web.server.NOT_DONE_YET."""
        return say(request, 404, "there is nothing here")


class Missing(Page):
    """A place where there is nothing."""

    isLeaf = True


class Request(server.Request):
    """A request that is refused before anybody looks at it, if it has to be.

    :ivar place: the path that it is counted by, where names in it are left out; None
        for the path as it is.
    """

    channel: Any
    place: str | None = None

    def gotLength(self, length: int | None) -> None:
        """Refuse a body that is too large, or says not how large it is."""
        if length is None or length > BODY:
            # From then on nothing more is read.
            self.channel.write(_TOO_LARGE)
            self.channel.loseConnection()
            length = 0
        super().gotLength(length)

    def process(self) -> None:
        """Say what every reply says; refuse another host; look for the resource."""
        site: Site = self.channel.site
        site.begun(self.channel)
        for name, value in HEADERS.items():
            self.responseHeaders.setRawHeaders(name, [value])
        if site.knows(self.requestHeaders.getRawHeaders(b"host", [])):
            super().process()
            return
        body = say(self, 421, "this is no name of the machine: see hosts in [web]")
        self.setResponseCode(421, b"Misdirected Request")
        self.setHeader(b"Content-Length", b"%d" % len(body))
        self.write(body)
        self.finish()

    def render(self, resrc: Any) -> None:
        """Reply, and say nothing of what made the reply."""
        self.responseHeaders.removeHeader(b"server")
        super().render(resrc)

    def finish(self) -> None:
        """End the reply, and count it."""
        self.channel.site.done(self.channel, self)
        super().finish()


class Channel(http.HTTPChannel):
    """A connection, counted by its site, that has one request in a turn at most.

    :ivar tries: its failures to say who asks.
    """

    site: Any
    transport: Any
    callLater: Any
    persistent: Any
    tries: Tries
    _next: Any = None

    @property
    def peerNames(self) -> Sequence[str]:
        """The names in the client's certificate; none without one."""
        return getattr(self.transport, "peerNames", ())

    def connectionMade(self) -> None:
        """Count it in."""
        self.tries = Tries()
        self.site.made(self)
        super().connectionMade()

    def requestDone(self, request: Any) -> None:
        """Go on in the next turn: hundreds that are sent at once let others wait."""
        if self.persistent:
            self._next = self.callLater(0, self._goOn, request)
        else:
            super().requestDone(request)

    def _goOn(self, request: Any) -> None:
        self._next = None
        super().requestDone(request)

    def timeoutConnection(self) -> None:
        """End it, and log nothing: scrapers stay connected and are restarted."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Any = connectionDone) -> None:
        """Count it out."""
        self.site.gone(self)
        if self._next is not None:
            self._next.cancel()
        super().connectionLost(reason)


class Site(server.Site):
    """All of one listener.

    :ivar idle: connections without a whole request, those that are so longest first.
    :ivar busy: those with one.
    :ivar counts: how many replies there were, by path and code; see ``done``.
    """

    noisy = False
    protocol: Any = Channel
    displayTracebacks = False

    def __init__(
        self,
        root: Resource,
        clock: Any,
        hosts: Iterable[str] | None,
        paths: Iterable[str],
    ) -> None:
        """Begin with no connection.

        :param hosts: further names of the machine, in small letters; None for any, on a
            UNIX socket, where no browser comes.
        :param paths: those that are counted apart.
        """
        super().__init__(
            root, requestFactory=Request, timeout=IDLE_SECONDS, reactor=clock
        )
        self._hosts = None if hosts is None else frozenset(hosts)
        self._paths = frozenset(paths)
        self.idle: dict[Channel, None] = {}
        self.busy: set[Channel] = set()
        self.counts: Counter[tuple[str, int]] = Counter()

    def log(self, request: Any) -> None:
        """Log nothing: a request a second would be most of the log."""

    def startFactory(self) -> None:
        """Begin without the clock of log lines, which there are none of."""

    def stopFactory(self) -> None:
        """End."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Return a connection, or None to close it."""
        if len(self.idle) + len(self.busy) >= CONNECTIONS:
            if not self.idle:
                return None
            oldest = next(iter(self.idle))
            self.gone(oldest)
            oldest.transport.abortConnection()
        return super().buildProtocol(addr)

    def made(self, channel: Any) -> None:
        """Count a connection in."""
        self.idle[channel] = None

    def begun(self, channel: Any) -> None:
        """Note that a connection has a request."""
        self.idle.pop(channel, None)
        self.busy.add(channel)

    def done(self, channel: Any, request: Any) -> None:
        """Note that it is answered, and count it."""
        self.busy.remove(channel)
        self.idle[channel] = None
        path = request.path.decode("ascii", "replace")
        place = request.place or (path if path in self._paths else "other")
        self.counts[place, request.code] += 1

    def gone(self, channel: Any) -> None:
        """Note that it is no more."""
        self.idle.pop(channel, None)
        self.busy.discard(channel)

    def knows(self, hosts: Sequence[bytes]) -> bool:
        """Return whether a request is for this machine, by its headers Host."""
        if self._hosts is None or not hosts:
            return True
        if len(hosts) > 1:
            return False
        name = hosts[0].decode("ascii", "replace").lower()
        bare, _, port = name.rpartition(":")
        if bare and (port.isdigit() or not port) and not name.endswith("]"):
            name = bare
        if name == "localhost" or name in self._hosts:
            return True
        if name.startswith("[") and name.endswith("]"):
            name = name[1:-1]
        try:
            ip_address(name)
        except ValueError:
            return False
        return True
