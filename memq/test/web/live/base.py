"""What tests of viewers share: one that reads, or does not, and events taken apart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.web.server import NOT_DONE_YET

from memq.test.web.base import Visitor, WebTestCase
from memq.web.http.site import Page
from memq.web.live.viewers import Viewers

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.web.live.viewers import Viewer


class Event(NamedTuple):
    """An event, or a comment, whose name is a colon."""

    name: str
    data: Any


def events(text: str) -> list[Event]:
    """Return what was sent, without the line that says when to come again."""
    return [
        _event(each) for each in text.split("\n\n") if each[:6] not in ("", "retry:")
    ]


def _event(text: str) -> Event:
    if text[0] == ":":
        return Event(":", text[2:])
    name, data = text.split("\n")
    assert name.startswith("event: ")
    assert data.startswith("data: ")
    return Event(name[7:], json.loads(data[6:]))


class StreamPage(Page):
    """A page that is a stream."""

    def __init__(self, join: Callable[[Any], Any]) -> None:
        super().__init__()
        self._join = join

    def show(self, request: Any) -> Any:
        """Let somebody view it."""
        return self._join(request)


class Watcher:
    """Somebody who views.

    :ivar head: status and headers of the reply.
    """

    def __init__(self, visitor: Visitor, path: str) -> None:
        self.visitor = visitor
        visitor.send(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        head, _, self._text = visitor.read().decode().partition("\r\n\r\n")
        self.head = head.split("\r\n")

    def read(self) -> list[Event]:
        """Return the events that came since the last time."""
        text = self._text + self.visitor.read().decode()
        self._text = ""
        return events(text)

    @property
    def isGone(self) -> bool:
        """Whether the server has closed the connection."""
        return self.visitor.isGone or self.visitor.transport.disconnecting

    def stopReading(self) -> None:
        """Leave what comes in the transport, so that it is full."""
        self.visitor.transport.producer.pauseProducing()

    def startReading(self) -> None:
        """Read again."""
        self.visitor.transport.producer.resumeProducing()


class LiveTestCase(WebTestCase):
    """Has a web with a stream at /stream."""

    def setUp(self) -> None:
        """Have no viewer."""
        super().setUp()
        self.came: list[Viewer] = []
        self.viewers = Viewers(self.harness.reactor)
        page = StreamPage(self.join)
        self.site.resource.putChild(b"stream", page)

    def join(self, request: Any) -> Any:
        """Answer a request with a stream of nothing, or say why not."""
        refusal = self.viewers.refusal()
        if refusal:
            return refusal.encode()
        self.came.append(self.viewers.admit(request))
        return NOT_DONE_YET

    def watcher(self, query: str = "") -> Watcher:
        """Return somebody who has asked for the stream."""
        return Watcher(self.visitor(), f"/stream{query}")

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.harness.pass_(seconds)
