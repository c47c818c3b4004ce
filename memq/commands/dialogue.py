"""Dialogue: the answers to one client, and what commands know of it.

The modules of commands build on it; :mod:`memq.commands.protocol` hands them its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from memq.errors import OutOfSpace, QueueError, StoreError, StoreFailed
from memq.operations.outstanding import COMMAND_LOAD
from memq.wire import text as wire

if TYPE_CHECKING:
    from memq.commands.host import CommandHost
    from memq.connection.connection import Connection
    from memq.operations.base import Operation
    from memq.operations.pushes import Push

_log = Logger()


class Dialogue:
    """The answers to one client.

    :ivar expect: answers with what an operation will find, after all before it.
    :ivar goOn: answers with what the rest of one will find, before all others.
    """

    def __init__(self, connection: Connection, host: CommandHost) -> None:
        self.connection = connection
        self.host = host
        self.session = connection.session
        self.outstanding = connection.outstanding
        self.replies = connection.replies
        self.expect = connection.replies.expect
        self.goOn = connection.replies.goOn
        self.statistics = host.statistics

    def answer(self, reply: bytes) -> None:
        """Answer with this, after all replies before it."""
        self.expect(self.session.answered(reply), self.renderBytes)

    def refuse(self, error: QueueError, noreply: bool = False) -> None:
        """Answer an error, after all replies before it."""
        render = self.renderNothing if noreply else self.renderBytes
        self.expect(self.session.answered(error), render)
        if error.closes:
            self.connection.hangUp()

    def renderBytes(self, operation: Operation) -> bytes:
        """Return a reply, or what tells an error."""
        reply: bytes | QueueError = operation.result
        return self.renderError(reply) if isinstance(reply, QueueError) else reply

    def renderNothing(self, operation: Operation) -> bytes:
        """Return nothing, for a command with noreply."""
        if isinstance(operation.result, QueueError):
            self.renderError(operation.result)
        return b""

    def renderError(self, error: QueueError) -> bytes:
        """Return the reply that tells an error, and log it."""
        # Those two are logged once for all.
        once = isinstance(error, StoreFailed | OutOfSpace)
        peer = self.connection.peer
        if isinstance(error, StoreError) and not once:
            _log.error("{peer} is told: {error}", peer=peer, error=error)
        elif self.host.verbose:
            _log.warn("{peer} is told: {error}", peer=peer, error=error)
        if error.closes:
            self.connection.receiver.close()
        return wire.formatError(error)

    def renderPush(self, push: Push) -> bytes:
        """Return the replies of sets."""
        results = push.results
        count = len(results)
        self.outstanding.load -= push.size + COMMAND_LOAD * (count - 1)
        if type(results) is not range:
            return self._renderPushes(push)
        self.statistics.setHits += count
        return b"" if push.noreply else wire.STORED * count

    def _renderPushes(self, push: Push) -> bytes:
        """Return the replies of sets of which some failed, or went by a policy."""
        push.release()
        replies = []
        for result in push.results:
            if isinstance(result, QueueError):
                replies.append(self.renderRefused(result))
            else:
                self.statistics.setHits += 1
                replies.append(wire.STORED)
        return b"" if push.noreply else b"".join(replies)

    def renderStored(self, operation: Operation) -> bytes:
        """Return what a single set is told."""
        if isinstance(operation.result, QueueError):
            return self.renderRefused(operation.result)
        self.statistics.setHits += 1
        return wire.STORED

    def renderRefused(self, error: QueueError) -> bytes:
        """Return what a set is told that was refused."""
        if isinstance(error, OutOfSpace):
            # The refusals of queues are counted by their operations.
            self.session.refused(error)
        return self.renderError(error)
