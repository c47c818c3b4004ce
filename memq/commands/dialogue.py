"""Dialogue: the answers to one client, and what commands know of it.

The modules of commands build on it; :mod:`memq.commands.protocol` hands them its own.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from memq.errors import NotOpen, OutOfSpace, QueueError, StoreError, StoreFailed
from memq.operations.base import Operation
from memq.operations.outstanding import COMMAND_LOAD
from memq.wire.forms import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from memq.access.rights import Rights
    from memq.commands.host import CommandHost
    from memq.connection.connection import Connection
    from memq.operations.pushes import Push, PushLarge
    from memq.wire.forms import Form

_log = Logger()


class Dialogue:
    """The answers to one client.

    :ivar expect: answers with what an operation will find, after all before it.
    :ivar goOn: answers with what the rest of one will find, before all others.
    :ivar rights: what its user may do; None for everything, and no user.
    """

    rights: Rights | None = None

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
        self.expect(self.session.answered(reply), self._renderBytes)

    def refuse(self, error: QueueError, form: Form = PLAIN) -> None:
        """Answer an error, after all replies before it."""
        self.expect(self.session.answered(error), partial(self.render, form))
        if error.closes:
            self.connection.hangUp()

    def remark(self, **more: str) -> None:
        """Say more of a command than its result; only an audit takes that down."""

    def answerLater(
        self,
        form: Form,
        done: Deferred[Any],
        then: Callable[[], None] | None = None,
    ) -> None:
        """Answer with the result of a Deferred, once ``then`` is called.

        :param done: fires with None, with False when there was nothing to be done, or
            with an error; it does not fail.
        """
        operation = Operation(self.session)
        self.expect(operation, partial(self.render, form))

        def answer(result: QueueError | bool | None) -> None:
            operation.result = result
            operation.done = True
            if then is not None:
                then()
            self.connection.deliver()

        done.addCallback(answer)

    def _renderBytes(self, operation: Operation) -> bytes:
        reply: bytes = operation.result
        return reply

    def render(self, form: Form, operation: Operation) -> bytes:
        """Return the reply that tells whether something was done, or an error."""
        result = operation.result
        if result is False or isinstance(result, NotOpen):
            return form.none
        if isinstance(result, QueueError):
            return self.renderError(result, form)
        return form.done

    def renderError(self, error: QueueError, form: Form) -> bytes:
        """Return the reply that tells an error, and log it."""
        # Those two are logged once for all.
        once = isinstance(error, StoreFailed | OutOfSpace)
        if isinstance(error, StoreError) and not once:
            told = self.connection.told
            _log.error("{client} is told: {error}", **told, error=error)
        elif self.host.verbose:
            told = self.connection.told
            _log.warn("{client} is told: {error}", **told, error=error)
        if error.closes:
            self.connection.receiver.close()
        return form.error(error)

    def renderPush(self, push: Push) -> bytes:
        """Return the replies of sets."""
        results = push.results
        count = len(results)
        self.outstanding.load -= push.size + COMMAND_LOAD * (count - 1)
        if type(results) is not range:
            return self._renderPushes(push)
        self.statistics.setHits += count
        form = push.form
        if form.numbers:
            return b"".join(map(form.stored, results))
        return form.done * count

    def _renderPushes(self, push: Push) -> bytes:
        """Return the replies of sets of which some failed, or went by a policy."""
        push.release()
        return b"".join([self._renderSet(result, push.form) for result in push.results])

    def renderLargePush(self, form: Form, push: PushLarge) -> bytes:
        """Return the reply of a set whose body came in parts."""
        push.release()
        return self._renderSet(push.result, form)

    def _renderSet(self, result: int | QueueError, form: Form) -> bytes:
        """Return the reply of one set, which may be refused."""
        if not isinstance(result, QueueError):
            self.statistics.setHits += 1
            return form.stored(result)
        if isinstance(result, OutOfSpace):
            # The refusals of queues are counted by their operations.
            self.session.refused(result)
        return self.renderError(result, form)


def ebFailed(failure: Failure, event: str, error: QueueError) -> QueueError:
    """Log something that was not foreseen; return what the client is told."""
    _log.failure(event, failure)
    return error
