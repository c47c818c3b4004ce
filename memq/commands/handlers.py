"""Command handlers: add, and all commands that have no body and are no plain get.

Each is a function of a dialogue and the command; the table says which.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from memq import __version__
from memq.commands.audited import Audited, Verb, audited
from memq.commands.details import Listing, renderAnswer, tell
from memq.commands.dialogue import Dialogue, ebFailed
from memq.commands.gets import First, Line, Reader
from memq.commands.imports import importing
from memq.commands.looks.clients import kill
from memq.commands.looks.peek import peek
from memq.commands.looks.tail import tail
from memq.commands.monitor import Monitor, confirm
from memq.commands.moves import move, redrive
from memq.commands.rules.changes import setRule, unsetRule
from memq.commands.rules.telling import listRules, showRule, tryRule
from memq.errors import (
    BadChunk,
    BadLine,
    ConfigError,
    FlushAllDisabled,
    NotANumber,
    NotOpen,
    OutOfSpace,
    QueueError,
    RulesRefused,
    UnknownCommand,
)
from memq.operations.base import Ask, Operation
from memq.operations.openreads.closes import CloseRead
from memq.operations.openreads.touches import TouchRead
from memq.operations.queues import AddQueue, Delete, Empty, EmptyAll, Pause, Resume
from memq.wire import extensions as dialect
from memq.wire import foreign
from memq.wire import text as wire
from memq.wire.figures import QueueFigures, formatDetails, formatDump, formatRowCounts
from memq.wire.imports import grammar as imports
from memq.wire.rules.grammar import ListRules, SetRule, ShowRule, TryRule, UnsetRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from memq.wire.forms import Form


def _ask(
    dialogue: Dialogue,
    operation: Operation,
    form: Form,
    render: Callable[[Dialogue, Form, Any], bytes] = Dialogue.render,
) -> None:
    """Ask for an operation, and answer its result."""
    dialogue.session.submit(operation)
    dialogue.expect(operation, partial(render, dialogue, form))


# Commands that change queues.

#: What stands in the line, and announces the body, is its size.
_ADD = Verb("add", dialect.Add._field_defaults["form"], ())


def add(dialogue: Dialogue, command: dialect.Add, body: bytes, complete: bool) -> None:
    """Make a queue with a limit, which is the body."""
    session, limit = dialogue.session, dialect.parseLimit(body)
    dialogue = Audited(dialogue, command, _ADD, limit=limit)
    if not complete:
        dialogue.refuse(BadChunk(), command.form)
    elif limit is None:
        dialogue.refuse(NotANumber(), command.form)
    elif session.isFull:
        dialogue.refuse(OutOfSpace(), command.form)
    else:
        _ask(dialogue, AddQueue(session, command.queue, limit), command.form)


def _delete(dialogue: Dialogue, command: wire.Delete) -> None:
    _ask(
        dialogue, Delete(dialogue.session, command.queue), command.form, _renderDeleted
    )


def _renderDeleted(dialogue: Dialogue, form: Form, operation: Operation) -> bytes:
    dialogue.statistics.deletes += operation.result is True
    dialogue.statistics.deleteMisses += operation.result is False
    return dialogue.render(form, operation)


def _close(dialogue: Dialogue, command: dialect.Close) -> None:
    queue, number, form = command
    closing = CloseRead(dialogue.session, queue, number=number)
    _ask(dialogue, closing, form, _renderClosed)


def _renderClosed(dialogue: Dialogue, form: Form, closing: CloseRead) -> bytes:
    closing.release()
    dialogue.statistics.deletes += type(closing.result) is int
    dialogue.statistics.deleteMisses += type(closing.result) is NotOpen
    return dialogue.render(form, closing)


def _touch(dialogue: Dialogue, command: dialect.Touch) -> None:
    queue, number, seconds, form = command
    _ask(dialogue, TouchRead(dialogue.session, queue, number, seconds), form)


def _flushAll(dialogue: Dialogue, command: wire.FlushAll) -> None:
    if not dialogue.host.flushAllEnabled:
        dialogue.refuse(FlushAllDisabled(), command.form)
    elif command.delay:
        dialogue.refuse(BadLine(), command.form)
    else:
        dialogue.statistics.flushes += 1
        _ask(dialogue, EmptyAll(dialogue.session), command.form)


def _flush(dialogue: Dialogue, command: dialect.Flush) -> None:
    dialogue.statistics.flushes += 1
    _ask(dialogue, Empty(dialogue.session, command.queue), command.form)


def _pause(dialogue: Dialogue, command: dialect.Pause) -> None:
    operation = Pause(dialogue.session, command.queue, command.bits)
    _ask(dialogue, operation, command.form)


def _resume(dialogue: Dialogue, command: dialect.Resume) -> None:
    _ask(dialogue, Resume(dialogue.session, command.queue), command.form)


# Commands that read from them.


def _read(dialogue: Dialogue, command: dialect.Read) -> None:
    Reader(dialogue, command).run()


def _reads(dialogue: Dialogue, command: dialect.Reads) -> None:
    Line(dialogue, command.reads).run()


def _anyOf(dialogue: Dialogue, command: dialect.AnyOf) -> None:
    First(dialogue, command.reads).run()


def _monitor(dialogue: Dialogue, command: dialect.Monitor) -> None:
    Monitor(dialogue, command)


# Commands that tell of them.


def _stats(dialogue: Dialogue, command: wire.Stats) -> None:
    if command.topic == b"detail":
        _tell(dialogue, command.form, formatDetails, command.pattern)
        return
    if not command.topic:
        tell(dialogue, command.form, dialogue.statistics.summary(dialogue.rights))
        return
    if command.topic == b"queue" and dialogue.rights is not None:
        _tell(dialogue, command.form, formatRowCounts)
        return
    if command.topic == b"conns":
        tell(dialogue, command.form, dialogue.host.clients())
        return
    # In its place among the others, so that it sees what was sent before.
    statistics = dialogue.statistics
    question = (
        partial(statistics.details.head, command.pattern)
        if command.topic == b"peek"
        else statistics.asked(command.topic)
    )
    _ask(dialogue, Ask(dialogue.session, question), command.form, renderAnswer)


def _describe(dialogue: Dialogue, command: wire.Describe) -> None:
    question = partial(dialogue.statistics.details.describe, command.queue)
    _ask(dialogue, Ask(dialogue.session, question), command.form, renderAnswer)


def _dumpStats(dialogue: Dialogue, command: dialect.DumpStats) -> None:
    _tell(dialogue, command.form, formatDump)


def _tell(
    dialogue: Dialogue,
    form: Form,
    format: Callable[[Iterable[QueueFigures]], bytes],
    pattern: bytes = b"",
) -> None:
    """Tell the details of queues, some at a time."""
    details = dialogue.statistics.details
    tell(dialogue, form, Listing(details, format, pattern, dialogue.rights))


# Commands about the server, or the connection.


def _version(dialogue: Dialogue, command: wire.Version) -> None:
    dialogue.answer(command.form.version(wire.versionNumbers(__version__)))


def _verbosity(dialogue: Dialogue, command: wire.Verbosity) -> None:
    dialogue.answer(command.form.done)


def _reload(dialogue: Dialogue, command: dialect.Reload) -> None:
    # The commands behind it are to find the new rules.
    dialogue.connection.hold()
    done: Deferred[Any] = dialogue.host.rules.reload()
    done.addErrback(_ebRefused)
    done.addErrback(ebFailed, "The rules could not be read again", QueueError())
    dialogue.answerLater(command.form, done, dialogue.connection.release)


def _checkpoint(dialogue: Dialogue, command: wire.Checkpoint) -> None:
    _maintain(dialogue, command.form, dialogue.host.maintenance.checkpoint())


def _archive(dialogue: Dialogue, command: wire.Archive) -> None:
    _maintain(dialogue, command.form, dialogue.host.maintenance.removeLogs())


def _maintain(dialogue: Dialogue, form: Form, done: Deferred[Any]) -> None:
    done.addErrback(
        ebFailed, "Maintenance that a client asked for failed", UnknownCommand()
    )
    dialogue.answerLater(form, done)


def _ebRefused(failure: Failure) -> RulesRefused:
    failure.trap(ConfigError)
    return RulesRefused(str(failure.value))


def _noop(dialogue: Dialogue, command: wire.Noop) -> None:
    dialogue.answer(command.form.done)


def _claim(dialogue: Dialogue, command: wire.Claim) -> None:
    """Let a client say who it is where that changes nothing."""
    entry = dialogue.connection.entry
    if entry is None or entry.proof is None:
        dialogue.answer(command.form.done)
    else:
        # It has said so before, and may be another one by now.
        dialogue.refuse(UnknownCommand(), command.form)


def _quit(dialogue: Dialogue, command: wire.Quit) -> None:
    dialogue.answer(command.form.done)
    dialogue.connection.hangUp()


def _foreign(dialogue: Dialogue, command: foreign.Foreign) -> None:
    dialogue.host.noteForeign(command.name, dialogue.connection.peer)
    dialogue.connection.hangUp()


def _refused(dialogue: Dialogue, command: wire.Refused) -> None:
    dialogue.refuse(command.error, command.form)
    if command.closes:
        dialogue.connection.hangUp()


#: Those of commands that manage something: each leaves a line in the audit.
MANAGING: dict[type, tuple[str, Callable[[Dialogue, Any], None]]] = {
    wire.Delete: ("delete", _delete),
    wire.FlushAll: ("flush_all", _flushAll),
    wire.Checkpoint: ("db_checkpoint", _checkpoint),
    wire.Archive: ("db_archive", _archive),
    dialect.Flush: ("flush", _flush),
    dialect.Pause: ("pause", _pause),
    dialect.Resume: ("resume", _resume),
    dialect.Reload: ("reload", _reload),
    SetRule: ("rule set", setRule),
    UnsetRule: ("rule unset", unsetRule),
    dialect.Kill: ("kill", kill),
    dialect.Move: ("move", move),
    dialect.Redrive: ("redrive", redrive),
    imports.Begin: ("import", importing.begin),
}

#: What the audit says of them, and of add.
AUDITED: dict[type, Verb] = {
    dialect.Add: _ADD,
    **{command: Verb.of(word, command) for command, (word, _) in MANAGING.items()},
}

#: The handlers, by command: of all that have no body and are no plain get.
VERBS: dict[type, Callable[[Dialogue, Any], None]] = {
    dialect.Close: _close,
    dialect.Touch: _touch,
    wire.Stats: _stats,
    wire.Version: _version,
    wire.Verbosity: _verbosity,
    wire.Quit: _quit,
    wire.Noop: _noop,
    wire.Claim: _claim,
    wire.Describe: _describe,
    wire.Refused: _refused,
    foreign.Foreign: _foreign,
    dialect.Read: _read,
    dialect.Reads: _reads,
    dialect.AnyOf: _anyOf,
    dialect.Monitor: _monitor,
    dialect.Tail: tail,
    dialect.Peek: peek,
    dialect.Confirm: confirm,
    dialect.DumpStats: _dumpStats,
    imports.Put: importing.put,
    **audited(MANAGING),
    TryRule: tryRule,
    ListRules: listRules,
    ShowRule: showRule,
}
