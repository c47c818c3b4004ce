"""Sender: an export is imported into a running server, by the protocol's ``import``.

Chunks of messages are pipelined.  The server shows a queue when all of it is there, and
notes how far the import is in the same transaction, under a token.  That is made of
what the file says: so an import that was killed goes on where the server says, and
nothing comes twice; lines up to there are read and not sent.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from time import time
from typing import TYPE_CHECKING

from memq.admin.reading import Reading
from memq.client.connection import refusal
from memq.wire.imports.grammar import MAX_CHUNK, beginLine, putLine
from memq.wire.imports.items import (
    Finished,
    Item,
    Part,
    QueueBegins,
    QueueEnds,
    Reached,
    packItem,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from memq.admin.exportformat import Body, QueueBegin
    from memq.client.connection import Connection
    from memq.ratelimit import Progress

#: Messages of a chunk: the server takes a millisecond for them, and others wait.
CHUNK_MESSAGES = 128
#: Bytes of items after which a chunk is sent; the next item may be as large again.
_BYTES = MAX_CHUNK // 2
#: Bytes of the largest body that is an item, and of a part of a larger one.
_WHOLE = MAX_CHUNK // 2 - 2048
#: Bytes of the item that says how far a chunk reaches.
_REACHED = 9
#: Chunks that are on their way; with 16 it was no faster.
WINDOW = 4

_IMPORTED = b"IMPORTED "
_TOKEN = 16


def tokenOf(file: BinaryIO) -> bytes:
    """Return the token of what a file holds, and be at its beginning again."""
    digest = blake2b(digest_size=_TOKEN)
    while piece := file.read(1 << 20):
        digest.update(piece)
    file.seek(0)
    return digest.digest()


def newToken() -> bytes:
    """Return the token of what can be read only once."""
    return os.urandom(_TOKEN)


class Sender(Reading):
    """Sends an export, and counts what is imported for good.

    :ivar messages: how many were sent.
    :ivar reached: the line up to which all is imported for good.
    :ivar isDone: whether the server had all of it before.
    :ivar isUnsure: whether it may have messages behind where it goes on.
    """

    def __init__(
        self,
        connection: Connection,
        append: bool,
        progress: Progress,
        part: Callable[[], float | None] = lambda: None,
    ) -> None:
        """Take where to.

        :param append: whether queues that have messages are appended to.
        :param part: returns how much was read, 0 to 1; None if nobody knows.
        """
        super().__init__()
        self._connection = connection
        self._append = append
        self._progress = progress
        self._part = part
        self.messages = self.reached = 0
        self.isDone = self.isUnsure = False
        #: The line up to which all was imported before.
        self._before = 0
        #: Whether the server was told of the queue that is being read.
        self._isTold = False
        self._items: list[bytes] = []
        self._bytes = self._inChunk = 0
        #: The line of the last message that is whole.
        self._whole = 0
        #: Chunks that were not answered.
        self._underWay = 0

    @property
    def figures(self) -> str:
        """The figures of what was imported so far, for a person."""
        return f"{self.queues} queues, {self.messages} messages"

    def begin(self, token: bytes, resume: bool) -> None:
        """Begin, or go on with what the server has of the same token."""
        self._connection.send(beginLine(token, self._append))
        line, words = self._answer()
        if resume:
            self._before = self.reached = line
            self.isDone = words == [b"all"]
        self.isUnsure = words == [b"unsure"] and line == self._before

    def _answer(self) -> tuple[int, list[bytes]]:
        """Return what the server says: the line that is imported, and words on that.

        :raise memq.client.connection.ServerRefused: when it says something else.
        """
        answer = self._connection.line()
        if not answer.startswith(_IMPORTED):
            raise refusal(answer)
        line, *words = answer.removeprefix(_IMPORTED).split()
        return int(line), words

    def _begin(self, line: QueueBegin) -> None:
        self._isTold = False
        if self.number > self._before:
            self._tell(line, False)

    def _tell(self, line: QueueBegin, goesOn: bool) -> None:
        """Begin a queue on the server."""
        self._isTold = True
        settings = line.pushed, line.taken, line.limit, line.paused
        self._put(packItem(QueueBegins(line.queue, *settings, goesOn)))

    def _isNew(self, queue: QueueBegin) -> bool:
        """Return whether a line is to be sent; begin its queue before, if need be."""
        if self.number <= self._before:
            return False
        if not self._isTold:
            self._tell(queue, True)
        return True

    def _add(self, queue: QueueBegin, line: Body) -> None:
        if not self._isNew(queue):
            return
        now = int(time() * 1000) if line.time is None else line.time
        body, rest = line.body, line[3:]
        if isLarge := len(body) > _WHOLE:
            # A chunk with parts of a body has no whole message before them.
            self._sendMessages()
            for start in range(0, len(body), _WHOLE):
                self._put(packItem(Part(body[start : start + _WHOLE])))
            body = b""
        self._put(packItem(Item(line.flags, now, body, *rest, isLarge)))
        self.messages += 1
        self._inChunk += 1
        self._whole = self.number
        if self._inChunk == CHUNK_MESSAGES or self._bytes >= _BYTES:
            self._send()

    def _put(self, item: bytes) -> None:
        """Let an item be in this chunk, or in the next one if there is no room."""
        if self._bytes + len(item) > MAX_CHUNK - _REACHED:
            self._send()
        self._items.append(item)
        self._bytes += len(item)

    def _sendMessages(self) -> None:
        """Send the messages that are whole, if there are any."""
        if self._inChunk:
            self._send()

    def _send(self) -> None:
        """Send a chunk; read replies to earlier ones."""
        if self._inChunk:
            self._items.append(packItem(Reached(self._whole)))
        self._connection.send(putLine(b"".join(self._items)))
        self._items.clear()
        self._bytes = self._inChunk = 0
        self._underWay += 1
        while self._underWay > WINDOW:
            self._settle()
        self._progress.reach(self._reachedWords, self._part())

    def _settle(self) -> None:
        """Read a reply."""
        self.reached, _ = self._answer()
        self._underWay -= 1

    def settle(self) -> None:
        """Read all replies that are to come."""
        while self._underWay:
            self._settle()

    def _reachedWords(self) -> str:
        return f"{self.figures}, {self._progress.rate(self.messages):.0f}/s"

    def _end(self, queue: QueueBegin) -> None:
        if self._isNew(queue):
            self._sendMessages()
            self._put(packItem(QueueEnds(self.number)))
            self._send()

    def _finish(self) -> None:
        self._put(packItem(Finished(self.number)))
        self._send()
        self.settle()
