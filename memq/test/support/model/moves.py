"""Commands of the model that move messages, or tell of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from memq.test.support.model.commands import Simple
from memq.test.support.model.server import END

if TYPE_CHECKING:
    from memq.test.support.model.server import Client, Server


#: The answer to a move that has not begun when the server stops.
CUT = b"SERVER_ERROR the server is stopping, moved 0\r\n"


def answer(moved: int, areRefused: bool) -> bytes:
    """Return what a move is answered.

    :param areRefused: whether messages stay that its target does not take.
    """
    return b"MOVED %d\r\n" % moved if moved or not areRefused else b"NOT_STORED\r\n"


@dataclass(frozen=True)
class Move(Simple):
    """A move."""

    queue: bytes
    target: bytes
    most: int
    line = b"move %(queue)b %(target)b %(most)d"

    def run(self, server: Server, client: Client) -> bytes:
        """Move heads, as long as the target takes them."""
        if server.isStopping:
            return CUT
        queues = server.queues
        ready = queues.find(self.queue).ready
        moved, most = 0, min(self.most, len(ready))
        while moved < most:
            queues.expireHeads(self.queue)
            if not ready or not queues.takes(self.target, ready[0]):
                break
            queues.move(self.queue, ready[0], self.target)
            moved += 1
        return answer(moved, bool(ready) and moved < most)


@dataclass(frozen=True)
class Redrive(Simple):
    """A redrive."""

    queue: bytes
    most: int
    line = b"redrive %(queue)b %(most)d"

    def run(self, server: Server, client: Client) -> bytes:
        """Move dead letters, each to its first queue, if that takes it."""
        if server.isStopping:
            return CUT
        queues, name = server.queues, self.queue
        moved, areRefused = 0, False
        for item in list(queues.find(name).ready):
            if item.trace is None or moved == self.most:
                continue
            origin = item.trace[1]
            if origin == name or queues.hasExpired(name, item):
                continue
            if queues.takes(origin, item):
                queues.move(name, item, origin)
                moved += 1
            else:
                areRefused = True
        return answer(moved, areRefused)


@dataclass(frozen=True)
class StatsPeek(Simple):
    """A ``stats peek``."""

    queue: bytes
    line = b"stats peek %(queue)b"

    def run(self, server: Server, client: Client) -> bytes:
        """Tell of the head, whether it could be read now or not."""
        ready = server.queues.find(self.queue).ready
        if not ready:
            return END
        item = ready[0]
        told: dict[str, object] = {
            "number": item.number,
            "bytes": len(item.body),
            "flags": item.flags,
            "age": server.queues.ms - item.time,
            "expires": item.expires,
            "deliveries": item.deliveries,
        }
        if item.trace is not None:
            before, origin, reason, since = item.trace
            told |= {"origin": origin.decode(), "reason": reason, "since": since}
            told["deliveries_before"] = before
        lines = [f"STAT {name} {value}\r\n" for name, value in told.items()]
        return "".join(lines).encode() + END
