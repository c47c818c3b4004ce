"""Login: who somebody is to the server, and sessions of pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.access.rights import ADMIN, MONITOR
from memq.web.http.gate import SESSION_SECONDS
from memq.web.http.routes import Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.web.http.gate import Gate
    from memq.web.http.routes import Call


class Login:
    """The routes of whoever asks.

    :ivar routes: for the table.
    """

    def __init__(self, gate: Gate, mayAct: Callable[[], bool], bodies: bool) -> None:
        """Take what knows who asks.

        :param mayAct: returns whether something can be changed at all.
        :param bodies: whether bodies of messages are told.
        """
        self._gate = gate
        self._mayAct = mayAct
        self._bodies = bodies
        self.routes = (
            Route("GET", "/api/v1/me", self._me),
            Route("POST", "/api/v1/login", self._begin),
            Route("DELETE", "/api/v1/login", self._end),
        )

    def _me(self, call: Call) -> dict[str, Any]:
        told: dict[str, Any] = {"user": None, "role": "admin"}
        patterns: tuple[tuple[bytes, ...], ...] = ((), (), ())
        if call.user is not None:
            rights = call.user.rights
            patterns = rights.patterns
            role = "monitor" if rights.server & MONITOR else None
            told["user"] = call.user.name
            told["role"] = "admin" if rights.server & ADMIN else role
        for word, some in zip(("write", "read", "manage"), patterns, strict=True):
            told[word] = [each.decode("utf-8", "backslashreplace") for each in some]
        return told | {"actions": self._mayAct(), "bodies": self._bodies}

    def _begin(self, call: Call) -> dict[str, Any]:
        if call.user is None:
            return {"user": None, "token": None, "seconds": None}
        told = {
            "user": call.user.name,
            "token": self._gate.begin(call.request, call.user),
        }
        return told | {"seconds": int(SESSION_SECONDS)}

    def _end(self, call: Call) -> dict[str, Any]:
        self._gate.end(call.request)
        return {}
