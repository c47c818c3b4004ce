"""Gone: the parts of a connection that has ended let go of each other.

While a connection is open its parts know it, and it knows them.  At its end the circles
are cut, so that each part is freed as soon as nobody uses it.  Python's garbage
collector would find them later, all at once: after thousands of connections it held up
everybody else for 30 to 170 ms.

What is kept may still be asked: an operation that nobody waits for knows its session,
and the audit of a command knows whose it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import connectionDone

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from memq.connection.connection import Connection


class GoneReceiver:
    """The receiver of a connection that has ended: it takes nothing."""

    __slots__ = ()

    command = None
    missing = 0
    paused = closing = heard = True

    def makeConnection(self, transport: Any) -> None:
        """Do nothing, as all others do."""

    def dataReceived(self, data: bytes) -> None:
        """Drop it."""

    def pauseProducing(self) -> None:
        """Read no more than before."""

    def resumeProducing(self) -> None:
        """Read no more than before."""

    def close(self) -> None:
        """Stay closed."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Have nothing to forget."""


_GONE: Any = GoneReceiver()


def _ignore() -> None:
    """Tell nobody that operations are done."""


def release(connection: Connection) -> None:
    """Let the parts of a connection go; it has ended, and nothing is under way."""
    connection.session.deliver = _ignore
    connection.replies.release()
    connection.receiver = _GONE
    vars(connection).pop("_commands", None)
    vars(connection).pop("dataReceived", None)
