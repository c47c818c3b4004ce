"""Messages of a queue: those at its head, and a new one."""

from __future__ import annotations

from base64 import b64decode, b64encode
from codecs import getincrementaldecoder
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from memq.errors import NotStored, QueueError
from memq.message import PART_SIZE
from memq.operations.peeks import HIDDEN, Peeked, PeekMany, Shown
from memq.web.api.actions.noted import Outcome, failed
from memq.web.api.figures import moment
from memq.web.api.names import shown
from memq.web.api.queues import missing
from memq.web.http.inputs import Input, Refused, text, whole
from memq.web.http.places import Places
from memq.web.http.routes import Route, Streamed, dumped
from memq.web.metrics.looks import Look
from memq.wire.extensions import MAX_DELAY
from memq.wire.forms import PLAIN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from twisted.internet.defer import Deferred

    from memq.server.factory import QueueFactory
    from memq.web.api.actions.noted import Noted
    from memq.web.api.errands import Errands
    from memq.web.http.routes import Call

#: Bytes of all bodies that one reply tells, and such replies at a time.
TOTAL, LOOKS = 1024 * 1024, 8
#: The greatest flags, and the greatest exptime.
_U32 = (1 << 32) - 1
#: The greatest number of a message that is asked for; it is less than a u64.
_MOST = (1 << 63) - 1

_PATH = "/api/v1/queues/{queue}/messages"


def base64(value: object) -> bytes:
    """Return the bytes of a field that is base64."""
    letters = text(value)
    try:
        return b64decode(letters, validate=True)
    except ValueError:
        raise ValueError("must be base64") from None


class Messages:
    """The routes of messages.

    :ivar routes: for the table.
    """

    def __init__(
        self, noted: Noted, errands: Errands, factory: QueueFactory, bodies: bool
    ) -> None:
        """Take what carries them out.

        :param bodies: whether bodies are told.
        """
        self._noted = noted
        self._errands = errands
        self._statistics = factory.statistics
        self._largest = factory.maxBody
        self._shown = Shown(PART_SIZE, TOTAL) if bodies else HIDDEN
        self._bodies = bodies
        self._places = Places(LOOKS)
        fields = (
            Input("body", base64),
            Input("text", text),
            Input("flags", whole(0, _U32), 0),
            Input("expires", whole(0, _U32), 0),
            Input("delay", whole(0, MAX_DELAY), 0),
        )
        query = Input("limit", whole(1, 100), 20), Input("after", whole(0, _MOST))
        self.routes = (
            Route("GET", _PATH, self._list, query),
            Route("POST", _PATH, self._push, (), fields, True),
        )

    def _list(self, call: Call) -> Deferred[Streamed]:
        queue, most = call.names["queue"], call.query["limit"]
        after = call.query["after"]
        first = 0 if after is None else after + 1
        self._places.take(call.request)

        def look(parts: Sequence[Any]) -> Deferred[Sequence[Any]]:
            if not parts[0].result.rows():
                raise missing()
            return self._errands.run(
                lambda client: PeekMany(client, queue, most, self._shown, first)
            )

        done = self._errands.run(lambda client: Look(client, [queue]))
        return done.addCallback(look).addCallback(self._cbSeen, most)

    def _cbSeen(self, parts: Sequence[Any], most: int) -> Streamed:
        found = [each for part in parts for each in part.result]
        return Streamed(self._pieces(found, most))

    def _pieces(
        self, found: Sequence[Peeked | QueueError], most: int
    ) -> Iterator[bytes]:
        """Yield messages one by one: a body of 64 KB becomes up to 500 KB of JSON."""
        yield b'{"messages":['
        for place, each in enumerate(found):
            yield b"," * (place > 0) + dumped(self._told(each)).rstrip()
        numbers = [each.message.sequence for each in found if isinstance(each, Peeked)]
        hasMore = len(found) >= most and numbers
        yield b'],"next":%b}\n' % (b"%d" % numbers[-1] if hasMore else b"null")

    def _told(self, found: Peeked | QueueError) -> dict[str, Any]:
        if isinstance(found, QueueError):
            return {"error": str(found)}
        message, trace = found.message, found.message.trace
        origin = None if trace is None or not trace.origin else trace
        told = {
            "number": message.sequence,
            "bytes": found.size,
            "set": moment(message.time),
            "expires": moment(message.expires),
            "flags": message.flags,
            "returned": found.deliveries,
            "from": None if origin is None else shown(origin.origin),
            "reason": origin and origin.reason and origin.reason.name.lower(),
            "since": origin and moment(origin.since),
        }
        if self._bodies:
            told |= bodyTold(found.body, len(found.body) < found.size)
        return told

    def _push(self, call: Call) -> Deferred[Any]:
        fields, queue = call.fields, call.names["queue"]
        body, letters = fields["body"], fields["text"]
        if (body is None) is (letters is None):
            raise Refused(400, "there must be either body or text")
        if body is None:
            body = letters.encode()
        if len(body) > self._largest:
            raise Refused(413, f"the body is larger than {self._largest} (--max-body)")
        self._statistics.setCommands += 1
        flags, expires, delay = fields["flags"], fields["expires"], fields["delay"]
        given = {"flags": flags, "expires": expires, "delay": delay}
        return self._noted.operate(
            call,
            "set",
            lambda client: client.push(queue, flags, body, PLAIN, expires, delay),
            self._pushed,
            bytes=len(body),
            **{name: value for name, value in given.items() if value},
        )

    def _pushed(self, parts: Sequence[Any]) -> Outcome:
        (push,) = parts
        push.release()
        (result,) = push.results
        if isinstance(result, QueueError):
            if not isinstance(result, NotStored):
                push.client.refused(result)
            return failed(result)
        self._statistics.setHits += 1
        return Outcome("STORED", {"number": result})


def bodyTold(body: bytes, isCut: bool) -> dict[str, Any]:
    """Return what is told of a body, or of its beginning."""
    told: dict[str, Any] = {"body": b64encode(body).decode()}
    with suppress(UnicodeDecodeError):
        told["text"] = getincrementaldecoder("utf-8")().decode(body, not isCut)
    if isCut:
        told["cut"] = True
    return told
