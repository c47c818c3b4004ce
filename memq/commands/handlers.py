"""Command handlers: add, and all commands that have no body and are no plain get.

Each is a function of a dialogue and the command; the table says which.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from memq import __version__
from memq.commands.details import Listing, TellQueues
from memq.commands.gets import Line, Reader, renderRest
from memq.commands.monitor import Monitor, confirm
from memq.commands.moves import move, redrive
from memq.errors import (
    BadChunk,
    BadLine,
    ConfigError,
    FlushAllDisabled,
    NotANumber,
    OutOfSpace,
    QueueError,
    RulesRefused,
    UnknownCommand,
)
from memq.operations.base import Ask, Operation
from memq.operations.queues import AddQueue, Delete, Empty, EmptyAll, Pause, Resume
from memq.wire import extensions as dialect
from memq.wire import foreign
from memq.wire import text as wire
from memq.wire.figures import QueueFigures, formatDetails, formatDump

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from memq.commands.dialogue import Dialogue

_log = Logger()


def _ask(
    dialogue: Dialogue,
    operation: Operation,
    render: Callable[[Dialogue, Any], bytes],
    noreply: bool = False,
) -> None:
    """Ask for an operation, and answer its result; only log an error if noreply."""
    dialogue.session.submit(operation)
    dialogue.expect(
        operation, dialogue.renderNothing if noreply else partial(render, dialogue)
    )


def _answers(reply: bytes, failing: bytes = b"") -> Callable[[Dialogue, Any], bytes]:
    """Return what renders a reply, another if the result is False, or an error."""

    def render(dialogue: Dialogue, operation: Operation) -> bytes:
        if isinstance(operation.result, QueueError):
            return dialogue.renderError(operation.result)
        return failing if operation.result is False else reply

    return render


_renderAdd = _answers(wire.STORED, wire.NOT_STORED)
_renderDelete = _answers(wire.DELETED, wire.NOT_FOUND)
_renderEnd = _answers(wire.END)
_renderOK = _answers(wire.OK)
_renderResume = _answers(wire.OK, wire.NOT_FOUND)


# Commands that change queues.


def add(dialogue: Dialogue, command: dialect.Add, body: bytes, complete: bool) -> None:
    """Make a queue with a limit, which is the body."""
    session, limit = dialogue.session, dialect.parseLimit(body)
    if not complete:
        dialogue.refuse(BadChunk(), command.noreply)
    elif limit is None:
        dialogue.refuse(NotANumber(), command.noreply)
    elif session.isFull:
        dialogue.refuse(OutOfSpace(), command.noreply)
    else:
        operation = AddQueue(session, command.queue, limit)
        _ask(dialogue, operation, _renderAdd, command.noreply)


def _delete(dialogue: Dialogue, command: wire.Delete) -> None:
    def render(dialogue: Dialogue, operation: Operation) -> bytes:
        statistics = dialogue.statistics
        statistics.deletes += operation.result is True
        statistics.deleteMisses += operation.result is False
        if command.noreply:
            return dialogue.renderNothing(operation)
        return _renderDelete(dialogue, operation)

    _ask(dialogue, Delete(dialogue.session, command.queue), render)


def _flushAll(dialogue: Dialogue, command: wire.FlushAll) -> None:
    if not dialogue.host.flushAllEnabled:
        dialogue.refuse(FlushAllDisabled(), command.noreply)
    elif command.delay:
        dialogue.refuse(BadLine(), command.noreply)
    else:
        dialogue.statistics.flushes += 1
        _ask(dialogue, EmptyAll(dialogue.session), _renderOK, command.noreply)


def _flush(dialogue: Dialogue, command: dialect.Flush) -> None:
    dialogue.statistics.flushes += 1
    _ask(dialogue, Empty(dialogue.session, command.queue), _renderEnd)


def _pause(dialogue: Dialogue, command: dialect.Pause) -> None:
    _ask(dialogue, Pause(dialogue.session, command.queue, command.bits), _renderOK)


def _resume(dialogue: Dialogue, command: dialect.Resume) -> None:
    _ask(dialogue, Resume(dialogue.session, command.queue), _renderResume)


# Commands that read from them.


def _read(dialogue: Dialogue, command: dialect.Read) -> None:
    Reader(dialogue, command).run()


def _reads(dialogue: Dialogue, command: dialect.Reads) -> None:
    Line(dialogue, command.reads).run()


def _monitor(dialogue: Dialogue, command: dialect.Monitor) -> None:
    Monitor(dialogue, command)


# Commands that tell of them.


def _stats(dialogue: Dialogue, command: wire.Stats) -> None:
    if command.topic == b"detail":
        _tell(dialogue, formatDetails, command.pattern)
        return
    if not command.topic:
        _list(dialogue, dialogue.statistics.summary())
        return
    # In its place among the others, so that it sees what was sent before.
    statistics = dialogue.statistics
    question = (
        partial(statistics.details.head, command.pattern)
        if command.topic == b"peek"
        else statistics.asked(command.topic)
    )
    _ask(dialogue, Ask(dialogue.session, question), _renderAnswer)


def _renderAnswer(dialogue: Dialogue, operation: Ask) -> bytes:
    operation.settle()
    return dialogue.renderBytes(operation)


def _dumpStats(dialogue: Dialogue, command: dialect.DumpStats) -> None:
    _tell(dialogue, formatDump)


def _tell(
    dialogue: Dialogue,
    form: Callable[[Iterable[QueueFigures]], bytes],
    pattern: bytes = b"",
) -> None:
    """Tell the details of queues, some at a time."""
    _list(dialogue, Listing(dialogue.statistics.details, form, pattern))


def _list(dialogue: Dialogue, listing: Listing) -> None:
    _ask(dialogue, TellQueues(dialogue.session, listing), _renderTold)


def _renderTold(dialogue: Dialogue, operation: TellQueues) -> bytes:
    reply = _renderAnswer(dialogue, operation)
    return reply + renderRest(dialogue, operation, partial(_renderTold, dialogue), b"")


# Commands about the server, or the connection.


def _version(dialogue: Dialogue, command: wire.Version) -> None:
    dialogue.answer(wire.formatVersion(__version__))


def _verbosity(dialogue: Dialogue, command: wire.Verbosity) -> None:
    dialogue.answer(b"" if command.noreply else wire.OK)


def _reload(dialogue: Dialogue, command: dialect.Reload) -> None:
    # The commands behind it are to find the new rules.
    dialogue.connection.hold()
    done: Deferred[Any] = dialogue.host.reload()
    done.addCallbacks(lambda _: wire.OK, _ebRefused)
    done.addErrback(_ebFailed, "The rules could not be read again", QueueError())
    _answerLater(dialogue, done, dialogue.connection.release)


def _checkpoint(dialogue: Dialogue, command: wire.Checkpoint) -> None:
    _maintain(dialogue, dialogue.host.maintenance.checkpoint())


def _archive(dialogue: Dialogue, command: wire.Archive) -> None:
    _maintain(dialogue, dialogue.host.maintenance.removeLogs())


def _maintain(dialogue: Dialogue, done: Deferred[Any]) -> None:
    done.addCallback(lambda _: wire.OK)
    done.addErrback(
        _ebFailed, "Maintenance that a client asked for failed", UnknownCommand()
    )
    _answerLater(dialogue, done)


def _ebRefused(failure: Failure) -> RulesRefused:
    failure.trap(ConfigError)
    return RulesRefused(str(failure.value))


def _ebFailed(failure: Failure, event: str, error: QueueError) -> QueueError:
    _log.failure(event, failure)
    return error


def _answerLater(
    dialogue: Dialogue, done: Deferred[Any], then: Callable[[], None] | None = None
) -> None:
    """Answer with the result of a Deferred, once ``then`` is called."""
    operation = Operation(dialogue.session)
    dialogue.expect(operation, dialogue.renderBytes)

    def answer(reply: bytes | QueueError) -> None:
        operation.result = reply
        operation.done = True
        if then is not None:
            then()
        dialogue.connection.deliver()

    done.addCallback(answer)


def _quit(dialogue: Dialogue, command: wire.Quit) -> None:
    dialogue.connection.hangUp()


def _foreign(dialogue: Dialogue, command: foreign.Foreign) -> None:
    dialogue.host.noteForeign(command.name, dialogue.connection.peer)
    dialogue.connection.hangUp()


def _refused(dialogue: Dialogue, command: wire.Refused) -> None:
    dialogue.refuse(command.error, command.noreply)
    if command.closes:
        dialogue.connection.hangUp()


#: The handlers, by command: of all that have no body and are no plain get.
VERBS: dict[type, Callable[[Dialogue, Any], None]] = {
    wire.Delete: _delete,
    wire.FlushAll: _flushAll,
    wire.Stats: _stats,
    wire.Version: _version,
    wire.Verbosity: _verbosity,
    wire.Checkpoint: _checkpoint,
    wire.Archive: _archive,
    wire.Quit: _quit,
    wire.Refused: _refused,
    foreign.Foreign: _foreign,
    dialect.Read: _read,
    dialect.Reads: _reads,
    dialect.Flush: _flush,
    dialect.Pause: _pause,
    dialect.Resume: _resume,
    dialect.Reload: _reload,
    dialect.Monitor: _monitor,
    dialect.Confirm: confirm,
    dialect.Move: move,
    dialect.Redrive: redrive,
    dialect.DumpStats: _dumpStats,
}
