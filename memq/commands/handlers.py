"""Commands without a body, but gets: what they ask for, and what that is answered.

Each is a function of a connection and the command; the table says which.  Gets of names
alone are the protocol's own, since they have to be fast.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from memq import __version__
from memq.commands.details import Listing, TellQueues
from memq.commands.gets import Line, Reader
from memq.commands.monitor import Monitor, confirm
from memq.errors import (
    BadLine,
    ConfigError,
    FlushAllDisabled,
    QueueError,
    RulesRefused,
    UnknownCommand,
)
from memq.operations.base import Ask, Operation
from memq.operations.queues import Delete, Empty, EmptyAll, Pause, Resume
from memq.wire import extensions as dialect
from memq.wire import foreign
from memq.wire import text as wire
from memq.wire.figures import QueueFigures, formatDetails, formatDump

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from memq.commands.protocol import QueueProtocol

_log = Logger()


def _ask(
    protocol: QueueProtocol,
    operation: Operation,
    render: Callable[[QueueProtocol, Any], bytes],
    noreply: bool = False,
) -> None:
    """Ask for an operation, and answer what it finds; only log an error if noreply."""
    protocol.session.submit(operation)
    protocol.expect(
        operation, protocol.renderNothing if noreply else partial(render, protocol)
    )


# What changes queues.


def _delete(protocol: QueueProtocol, command: wire.Delete) -> None:
    operation = Delete(protocol.session, command.queue)
    render = _renderQuietDelete if command.noreply else _renderDelete
    _ask(protocol, operation, render)


def _renderDelete(protocol: QueueProtocol, operation: Operation) -> bytes:
    if isinstance(operation.result, QueueError):
        return protocol.renderError(operation.result)
    _countDelete(protocol, operation)
    return wire.DELETED if operation.result else wire.NOT_FOUND


def _renderQuietDelete(protocol: QueueProtocol, operation: Operation) -> bytes:
    _countDelete(protocol, operation)
    return protocol.renderNothing(operation)


def _countDelete(protocol: QueueProtocol, operation: Operation) -> None:
    statistics = protocol.factory.statistics
    statistics.deletes += operation.result is True
    statistics.deleteMisses += operation.result is False


def _flushAll(protocol: QueueProtocol, command: wire.FlushAll) -> None:
    if not protocol.factory.flushAllEnabled:
        protocol.refuse(FlushAllDisabled(), command.noreply)
    elif command.delay:
        protocol.refuse(BadLine(), command.noreply)
    else:
        protocol.factory.statistics.flushes += 1
        _ask(protocol, EmptyAll(protocol.session), _renderOK, command.noreply)


def _renderOK(protocol: QueueProtocol, operation: Operation) -> bytes:
    if isinstance(operation.result, QueueError):
        return protocol.renderError(operation.result)
    return wire.OK


def _flush(protocol: QueueProtocol, command: dialect.Flush) -> None:
    protocol.factory.statistics.flushes += 1
    _ask(protocol, Empty(protocol.session, command.queue), _renderFlush)


def _renderFlush(protocol: QueueProtocol, operation: Operation) -> bytes:
    if isinstance(operation.result, QueueError):
        return protocol.renderError(operation.result)
    return wire.END


def _pause(protocol: QueueProtocol, command: dialect.Pause) -> None:
    session = protocol.session
    session.policies.activate()
    operation = Pause(session, command.queue, command.bits)
    protocol.pausing = operation
    _ask(protocol, operation, _renderOK)


def _resume(protocol: QueueProtocol, command: dialect.Resume) -> None:
    _ask(protocol, Resume(protocol.session, command.queue), _renderResume)


def _renderResume(protocol: QueueProtocol, operation: Operation) -> bytes:
    if operation.result is False:
        return wire.NOT_FOUND
    return _renderOK(protocol, operation)


# What reads from them.


def _read(protocol: QueueProtocol, command: dialect.Read) -> None:
    if command.wait:
        protocol.mayWait()
    Reader(protocol, command).run()


def _reads(protocol: QueueProtocol, command: dialect.Reads) -> None:
    if any(read.wait for read in command.reads):
        protocol.mayWait()
    Line(protocol, command.reads).run()


def _monitor(protocol: QueueProtocol, command: dialect.Monitor) -> None:
    if command.seconds:
        protocol.mayWait()
    Monitor(protocol, command)


# What tells of them.


def _stats(protocol: QueueProtocol, command: wire.Stats) -> None:
    if command.topic == b"detail":
        _tell(protocol, formatDetails, command.pattern)
        return
    if not command.topic:
        _list(protocol, protocol.factory.statistics.summary())
        return
    # In its place among the others, so that it sees what was sent before.
    question = protocol.factory.statistics.asked(command.topic)
    _ask(protocol, Ask(protocol.session, question), _renderAnswer)


def _renderAnswer(protocol: QueueProtocol, operation: Ask) -> bytes:
    operation.settle()
    return protocol.renderBytes(operation)


def _dumpStats(protocol: QueueProtocol, command: dialect.DumpStats) -> None:
    _tell(protocol, formatDump)


def _tell(
    protocol: QueueProtocol,
    form: Callable[[Iterable[QueueFigures]], bytes],
    pattern: bytes = b"",
) -> None:
    """Tell the details of queues, some at a time."""
    _list(protocol, Listing(protocol.factory.statistics.details, form, pattern))


def _list(protocol: QueueProtocol, listing: Listing) -> None:
    _ask(protocol, TellQueues(protocol.session, listing), _renderTold)


def _renderTold(protocol: QueueProtocol, operation: TellQueues) -> bytes:
    reply = _renderAnswer(protocol, operation)
    rest = operation.follow()
    if rest is not None:
        protocol.goOn(rest, partial(_renderTold, protocol))
    return reply


# What is about the server, or the connection.


def _version(protocol: QueueProtocol, command: wire.Version) -> None:
    protocol.answer(wire.formatVersion(__version__))


def _verbosity(protocol: QueueProtocol, command: wire.Verbosity) -> None:
    protocol.answer(b"" if command.noreply else wire.OK)


def _reload(protocol: QueueProtocol, command: dialect.Reload) -> None:
    operation = Operation(protocol.session)
    protocol.expect(operation, protocol.renderBytes)
    # What comes behind it is to find the new rules.
    protocol.hold()

    def answer(reply: bytes | QueueError) -> None:
        operation.result = reply
        operation.done = True
        protocol.release()
        protocol.deliver()

    def _ebRefused(failure: Failure) -> RulesRefused:
        failure.trap(ConfigError)
        return RulesRefused(str(failure.value))

    def _ebFailed(failure: Failure) -> QueueError:
        _log.failure("The rules could not be read again", failure)
        return QueueError()

    done: Deferred[Any] = protocol.factory.reload()
    done.addCallbacks(lambda _: wire.OK, _ebRefused)
    done.addErrback(_ebFailed).addCallback(answer)


def _checkpoint(protocol: QueueProtocol, command: wire.Checkpoint) -> None:
    _answerLater(protocol, protocol.factory.maintenance.checkpoint())


def _archive(protocol: QueueProtocol, command: wire.Archive) -> None:
    _answerLater(protocol, protocol.factory.maintenance.removeLogs())


def _answerLater(protocol: QueueProtocol, done: Deferred[None]) -> None:
    operation = Operation(protocol.session)
    protocol.expect(operation, protocol.renderBytes)

    def answer(reply: bytes | QueueError) -> None:
        operation.result = reply
        operation.done = True
        protocol.deliver()

    def _ebFailed(failure: Failure) -> None:
        _log.failure("Maintenance that a client asked for failed", failure)
        answer(UnknownCommand())

    done.addCallback(lambda _: answer(wire.OK)).addErrback(_ebFailed)


def _quit(protocol: QueueProtocol, command: wire.Quit) -> None:
    protocol.hangUp()


def _foreign(protocol: QueueProtocol, command: foreign.Foreign) -> None:
    protocol.noteForeign(command.name)
    protocol.hangUp()


def _refused(protocol: QueueProtocol, command: wire.Refused) -> None:
    protocol.refuse(command.error, command.noreply)
    if command.closes:
        protocol.hangUp()


#: What carries a command out; there is one for each that is no get and has no body.
VERBS: dict[type, Callable[[QueueProtocol, Any], None]] = {
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
    dialect.DumpStats: _dumpStats,
}
