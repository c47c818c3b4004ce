"""Manage: move, redrive, flush, delete, pause and resume queues; reload the rules.

flush and delete ask where there is a terminal, and want --yes elsewhere.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from memq.client.connection import ServerRefused
from memq.client.figures import detail
from memq.commandline.arguments import REFUSED, addCommand, connected, count, queueName
from memq.commandline.terminal import Meter, agrees, asks
from memq.display import numbered, shownName
from memq.errors import CommandError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from memq.client.connection import Connection
    from memq.client.figures import Figures
    from memq.commandline.arguments import Add, Tell

#: Messages that one command moves: what is told of the progress is as fine.
SLICE = 10_000
#: What is answered when the server stops in the middle of a move.
_CUT = re.compile(r"SERVER_ERROR the server is stopping, moved (\d+)")


def addCommands(add: Add) -> None:
    """Add the subcommands."""
    does = "Move messages to the end of another queue."
    move = addCommand(add, "move", _move, does, queues="")
    move.add_argument("target", metavar="QUEUE", type=queueName)
    _addCount(move)
    does = "Move dead letters back to the queues that they come from."
    _addCount(addCommand(add, "redrive", _move, does, queues=""))
    does = "Empty queues, with what is open and delayed."
    _addYes(addCommand(add, "flush", _flush, does, queues="+"))
    does = "Delete queues with all that is in them."
    _addYes(addCommand(add, "delete", _delete, does, queues="+"))
    does = "Stop reads from queues, and sets to them."
    pause = addCommand(add, "pause", _pause, does, queues="+")
    only = pause.add_mutually_exclusive_group()
    for option, word in (("--reads", "reads"), ("--writes", "writes")):
        only.add_argument(
            option, dest="only", action="store_const", const=word, help=f"{word} only"
        )
    does = "Let paused queues go on."
    addCommand(add, "resume", _resume, does, queues="+")
    does = "Have the server read the rules in its configuration file again."
    addCommand(add, "reload", _reload, does)


def _addCount(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-n", dest="count", type=count, metavar="NUMBER", help="how many, at most"
    )


def _addYes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")


def _move(options: argparse.Namespace, tell: Tell) -> int:
    """Move messages, no more than there are at first."""
    command = b"redrive %b" % options.queue
    if options.command == "move":
        if options.target == options.queue:
            raise CommandError("messages cannot move to the queue that they are in", 2)
        command = b"move %b %b" % (options.queue, options.target)
    moved = 0
    with connected(options) as connection, Meter(tell) as meter:
        found = detail(connection, options.queue)
        if not found.numbers:
            # The server refuses who has not the right; figures are told to nobody else.
            moved, _ = _moved(connection, b"%b 1" % command)
            if not moved:
                raise missing(options.queue)
        total = found.number("items")
        if options.count is not None:
            total = min(total, options.count)
        try:
            while moved < total:
                slice = min(SLICE, total - moved)
                number, isCut = _moved(connection, b"%b %d" % (command, slice))
                moved += number
                if isCut:
                    raise CommandError("the server is stopping: run it again later")
                if number < slice:
                    break
                meter.reach(moved, moved / total)
        finally:
            tell(f"{numbered(moved, 'message')} moved")
    if moved == 0 < total and options.command == "redrive":
        tell("none is a dead letter, or the queues that they come from take none")
    return 0


def _moved(connection: Connection, command: bytes) -> tuple[int, bool]:
    """Return how many messages a command has moved, and whether a stop cut it off."""
    try:
        answer = connection.ask(command)
        if answer == b"NOT_STORED":
            why = "none can be stored: where they go is full or paused for writes"
            raise CommandError(why, REFUSED)
        return int(answer.removeprefix(b"MOVED ")), False
    except ServerRefused as error:
        cut = _CUT.search(str(error))
        if cut is None:
            raise
        return int(cut[1]), True


def missing(queue: bytes) -> CommandError:
    """Return the error that a queue is not there."""
    return CommandError(f"there is no queue {shownName(queue)}", REFUSED)


@contextmanager
def refusing() -> Iterator[None]:
    """Let a refusal be told in the words of the reason, with the status of one."""
    try:
        yield
    except ServerRefused as error:
        if error.why:
            raise CommandError(error.why, REFUSED) from None
        raise


def nothing(connection: Connection, queue: bytes) -> CommandError:
    """Return the error that a queue has no message to give, with the reason."""
    found = detail(connection, queue)
    if not found.numbers:
        return missing(queue)
    name = shownName(queue)
    if found.number("items") and isPaused(found):
        return CommandError(f"queue {name} is paused for reads", REFUSED)
    others = f"{found.number('open_transactions')} open"
    if "delayed" in found.numbers:
        others += f", {found.number('delayed')} delayed"
    return CommandError(f"no message of {name} waits: {others}", REFUSED)


def isPaused(found: Figures) -> bool:
    """Return whether a queue is paused for reads."""
    return found.rules.get("paused") in ("reads", "both")


def _consent(options: argparse.Namespace, connection: Connection) -> bool:
    """Return whether to go on with a command that cannot be taken back."""
    if options.yes:
        return True
    if not asks():
        raise CommandError("not on a terminal: say --yes", 2)
    for queue in options.queue:
        messages = detail(connection, queue).number("items")
        question = (
            f"{options.command} {shownName(queue)}, which has {messages} messages?"
        )
        if not agrees(question):
            return False
    return True


def _flush(options: argparse.Namespace, tell: Tell) -> int:
    with connected(options) as connection:
        if not _consent(options, connection):
            return REFUSED
        for queue in options.queue:
            connection.ask(b"flush " + queue)
    return 0


def _delete(options: argparse.Namespace, tell: Tell) -> int:
    with connected(options) as connection:
        if not _consent(options, connection):
            return REFUSED
        return _each(options, tell, connection, b"delete %b")


def _pause(options: argparse.Namespace, tell: Tell) -> int:
    word = b" " + options.only.encode() if options.only else b""
    with connected(options) as connection:
        for queue in options.queue:
            isThere = bool(detail(connection, queue).numbers)
            connection.ask(b"pause %b" % queue + word)
            if not isThere:
                tell(
                    f"there was no queue {shownName(queue)}; it is created, and paused"
                )
    return 0


def _resume(options: argparse.Namespace, tell: Tell) -> int:
    with connected(options) as connection:
        return _each(options, tell, connection, b"resume %b")


def _each(
    options: argparse.Namespace, tell: Tell, connection: Connection, command: bytes
) -> int:
    """Say a command of each queue; tell which ones there are not."""
    absent = [
        queue
        for queue in options.queue
        if connection.ask(command % queue) == b"NOT_FOUND"
    ]
    for queue in absent:
        tell(str(missing(queue)))
    return REFUSED if absent else 0


def _reload(options: argparse.Namespace, tell: Tell) -> int:
    with connected(options) as connection, refusing():
        connection.ask(b"reload")
    return 0
