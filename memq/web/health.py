"""Health: whether the process lives, and whether it serves.

They are kept apart.  A disk that is full must not get a server restarted, from which
messages can be taken: so ``/healthz`` says nothing but that the reactor turns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.web.http.site import Page, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memq.broker.interfaces import IEngine


class Readiness:
    """Why the server does not serve.

    :ivar isListening: whether clients can connect.
    """

    def __init__(self, broker: IEngine) -> None:
        self._broker = broker
        self.isListening = False

    def settled(self) -> None:
        """Note that the server listens."""
        self.isListening = True

    def reasons(self, forWrites: bool) -> Iterator[str]:
        """Yield each reason, in a line.

        :param forWrites: whether it counts that sets are refused.
        """
        broker = self._broker
        yield from self.own()
        troubles = list(broker.troubles())
        yield from troubles
        if forWrites and broker.refusing is not None and not troubles:
            yield f"sets are refused: {broker.refusing}"

    def own(self) -> Iterator[str]:
        """Yield why nobody can be told anything now, in a line."""
        broker = self._broker
        if broker.failure is not None:
            yield f"the store has failed: {broker.failure}"
        if broker.isStopping:
            yield "the server is stopping"
        elif not self.isListening:
            yield "the server is starting"


class Healthz(Page):
    """Whether the reactor turns: who gets a reply knows it."""

    def show(self, request: Any) -> bytes:
        """Say so."""
        return say(request, 200, "ok")


class Readyz(Page):
    """Whether clients are served."""

    def __init__(self, readiness: Readiness) -> None:
        super().__init__()
        self._readiness = readiness

    def show(self, request: Any) -> bytes:
        """Say so, or why not; ``for=writes`` asks whether sets are taken, too."""
        forWrites = b"writes" in request.args.get(b"for", [])
        reasons = list(self._readiness.reasons(forWrites))
        return say(request, 503 if reasons else 200, "\n".join(reasons) or "ok")
