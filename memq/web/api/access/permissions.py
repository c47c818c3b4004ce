"""Permissions: whether whoever asks has the right for a route, and what to say if not.

memq.access.needs has what each route needs; one that is not there is for admins.  Where
nobody has to say who asks, everything is allowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.access.needs import ROUTES, Need, areEnough
from memq.access.rights import ADMIN, EVERYTHING, MANAGE, MONITOR, READ, SEE, WRITE
from memq.web.api.names import shown
from memq.web.http.inputs import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from memq.access.rights import Rights
    from memq.access.users import User
    from memq.web.http.routes import Call, Route

#: What each right for a queue is called, and each for the server.
WORDS: Mapping[int, str] = {WRITE: "write", READ: "read", MANAGE: "manage"}
ROLES: Mapping[int, str] = {ADMIN: "admin", MONITOR: "monitor"}


def check(route: Route, call: Call) -> None:
    """Raise Refused if whoever asks has not the right for a route."""
    if call.user is None:
        return

    def names(field: str) -> Iterable[bytes]:
        given = call.names if field in call.names else call.fields
        return (given[field],)

    for need in ROUTES.get((route.method, route.path), (Need(ADMIN),)):
        if not areEnough(call.user.rights, (need,), names):
            raise Refused(403, _words(call.user, need, names))


def checkMonitor(user: User | None) -> None:
    """Raise Refused if somebody may not see the figures of the server."""
    if user is not None and not user.rights.server & MONITOR:
        raise Refused(403, _words(user, Need(MONITOR), lambda field: ()))


def _words(user: User, need: Need, names: Callable[[str], Iterable[bytes]]) -> str:
    if need.field:
        (queue,) = names(need.field)
        word = "no right" if need.right == SEE else f"no right {WORDS[need.right]}"
        return f"user {user.name} has {word} for queue {shown(queue)}"
    return f"user {user.name} is no {ROLES[need.right]}"


def rightsOf(call: Call) -> Rights | None:
    """Return the rights of whoever asks; None for all of them."""
    return None if call.user is None else call.user.rights


def sightOf(call: Call) -> Callable[[bytes], object] | None:
    """Return what tells whether whoever asks may see a queue; None if any."""
    return None if call.user is None else call.user.rights.sight


def mayTold(call: Call, queue: bytes) -> list[str]:
    """Return what whoever asks may do with a queue, in words."""
    bits = EVERYTHING if call.user is None else call.user.rights[queue]
    return [word for bit, word in WORDS.items() if bits & bit]
