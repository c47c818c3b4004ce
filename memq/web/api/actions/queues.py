"""Actions on queues: pause, resume, flush, delete, move, redrive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.errors import QueueError
from memq.operations.moves import Move, Redrive
from memq.operations.queues import Delete, Empty, Pause, Resume
from memq.policy.rule import READS, WRITES
from memq.web.api.actions.noted import Outcome, failed
from memq.web.api.names import namedField
from memq.web.api.queues import missing
from memq.web.http.inputs import Input, Refused, truth, whole
from memq.web.http.routes import Route

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.defer import Deferred

    from memq.server.stats import Statistics
    from memq.web.api.actions.noted import Noted
    from memq.web.http.routes import Call

#: The most messages that are moved.
MOST = (1 << 63) - 1
#: Why messages stay that were to move when the server stops.
STOPPING = "the server is stopping"

_PATH = "/api/v1/queues/{queue}"


class QueueActions:
    """The routes of what is done to queues.

    :ivar routes: for the table.
    """

    def __init__(self, noted: Noted, statistics: Statistics) -> None:
        self._noted = noted
        self._statistics = statistics
        confirm = (Input("confirm", namedField, isNeeded=True),)
        most = Input("max", whole(1, MOST), MOST)
        to = Input("to", namedField, isNeeded=True)
        pauses = Input("reads", truth, False), Input("writes", truth, False)
        self.routes = (
            Route("POST", f"{_PATH}/pause", self._pause, (), pauses, True),
            Route("POST", f"{_PATH}/resume", self._resume, acts=True),
            Route("POST", f"{_PATH}/flush", self._flush, (), confirm, True),
            Route("POST", f"{_PATH}/move", self._move, (), (to, most), True),
            Route("POST", f"{_PATH}/redrive", self._redrive, (), (most,), True),
            Route("DELETE", _PATH, self._delete, (), confirm, True),
        )

    def _pause(self, call: Call) -> Deferred[Any]:
        reads, writes = call.fields["reads"], call.fields["writes"]
        bits = READS * reads + WRITES * writes
        if not bits:
            raise Refused(
                400, "nothing is to be paused: reads, writes or both are true"
            )
        queue = call.names["queue"]
        asked = {} if reads and writes else {"bits": "reads" if reads else "writes"}
        return self._noted.operate(
            call, "pause", lambda client: Pause(client, queue, bits), _changed, **asked
        )

    def _resume(self, call: Call) -> Deferred[Any]:
        queue = call.names["queue"]
        return self._noted.operate(
            call, "resume", lambda client: Resume(client, queue), _changed
        )

    def _flush(self, call: Call) -> Deferred[Any]:
        queue = _confirmed(call)
        self._statistics.flushes += 1
        return self._noted.operate(
            call, "flush", lambda client: Empty(client, queue), _flushed
        )

    def _delete(self, call: Call) -> Deferred[Any]:
        queue = _confirmed(call)
        return self._noted.operate(
            call, "delete", lambda client: Delete(client, queue), self._deleted
        )

    def _deleted(self, parts: Sequence[Any]) -> Outcome:
        (operation,) = parts
        self._statistics.deletes += operation.result is True
        self._statistics.deleteMisses += operation.result is False
        return _changed(parts, "DELETED")

    def _move(self, call: Call) -> Deferred[Any]:
        queue, to, most = call.names["queue"], call.fields["to"], call.fields["max"]
        if to == queue:
            raise Refused(400, "to must be another queue")
        asked = {} if most == MOST else {"most": most}
        return self._noted.operate(
            *(call, "move", lambda client: Move(client, queue, to, most), _moved),
            target=to,
            **asked,
        )

    def _redrive(self, call: Call) -> Deferred[Any]:
        queue, most = call.names["queue"], call.fields["max"]
        asked = {} if most == MOST else {"most": most}
        return self._noted.operate(
            call,
            "redrive",
            lambda client: Redrive(client, queue, most),
            _moved,
            **asked,
        )


def _confirmed(call: Call) -> bytes:
    """Return the queue of a request that names it once more.

    :raise Refused: when that is another name.
    """
    queue: bytes = call.names["queue"]
    if call.fields["confirm"] != queue:
        raise Refused(400, "confirm must be the name of the queue")
    return queue


def _changed(parts: Sequence[Any], words: str = "OK") -> Outcome:
    """Return what came of a change that was made unless there is no such queue."""
    (operation,) = parts
    result = operation.result
    if isinstance(result, QueueError):
        return failed(result)
    if result is False:
        return Outcome("NOT_FOUND", error=missing())
    return Outcome(words)


def _flushed(parts: Sequence[Any]) -> Outcome:
    (operation,) = parts
    count = operation.result
    if isinstance(count, QueueError):
        return failed(count)
    return Outcome("END", {"flushed": count}, more={"count": count})


def _moved(parts: Sequence[Any]) -> Outcome:
    """Return what came of a move: its slices have moved some each."""
    count = sum(part.result for part in parts if type(part.result) is int)
    last = parts[-1]
    if isinstance(last.result, QueueError):
        return failed(last.result, count=count)
    refused = last.refusal
    if refused is not None and not count:
        return failed(refused, count=count)
    stays = None if refused is None else refused.why
    if last.isCut:
        stays = STOPPING
        if not count:
            error = Refused(503, stays, Retry_After="1")
            return Outcome("MOVED 0", error=error, more={"count": 0})
    answer = {"moved": count, "stays": stays}
    return Outcome(f"MOVED {count}", answer, more={"count": count})
