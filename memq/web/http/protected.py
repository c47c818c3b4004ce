"""Protected: a page that only those see who may, where users are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.server import NOT_DONE_YET

from memq.web.http.inputs import Refused
from memq.web.http.site import Page, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure
    from twisted.web.resource import Resource

    from memq.access.users import User
    from memq.web.http.gate import Gate

_log = Logger()


class Protected(Page):
    """Shows another page, and what stands below it, to those who may see it."""

    def __init__(
        self, inner: Resource, gate: Gate, check: Callable[[User | None], None]
    ) -> None:
        """Take the page.

        :param check: raises Refused if somebody may not see it.
        """
        super().__init__()
        self._inner = inner
        self._gate = gate
        self._check = check
        for path, child in inner.children.items():
            self.putChild(path, Protected(child, gate, check))

    def show(self, request: Any) -> Any:
        """Return the page, or say why not."""
        try:
            who = self._gate.who(request)
            if not isinstance(who, Deferred):
                return self._shown(who, request)
        except Refused as refused:
            return _said(request, refused)
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)
        who.addCallback(self._shown, request)
        who.addErrback(_ebRefused, request)
        who.addCallback(_cbShown, request, gone)
        who.addErrback(lambda why: _log.failure("A reply could not be sent", why))
        return NOT_DONE_YET

    def _shown(self, user: User | None, request: Any) -> Any:
        self._check(user)
        return self._inner.render(request)


def _said(request: Any, refused: Refused) -> bytes:
    for name, value in refused.headers.items():
        request.setHeader(name.replace("_", "-"), value)
    return say(request, refused.code, str(refused))


def _ebRefused(failure: Failure, request: Any) -> bytes:
    refused: Any = failure.value
    failure.trap(Refused)
    return _said(request, refused)


def _cbShown(body: Any, request: Any, gone: list[object]) -> None:
    if body is not NOT_DONE_YET and not gone:
        request.setHeader(b"Content-Length", b"%d" % len(body))
        request.write(body)
        request.finish()
