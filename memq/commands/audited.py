"""Audited commands: each leaves one line in the audit, whatever comes of it.

Such a command is carried out as any other, in a dialogue of its own, which looks at the
result on its way to the client, or when the client turns out to be gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.commands.dialogue import Dialogue
from memq.connection.interfaces import Witness
from memq.errors import NotOpen, QueueError
from memq.logs.audit import Actor
from memq.operations.moves import Move, MoveCut, Redrive
from memq.wire.extensions import READS, WRITES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memq.connection.interfaces import Render
    from memq.operations.base import Operation
    from memq.wire.forms import Form

#: What is said of a command that did not run to its end.
GONE = "the client has gone"
#: Values that are told as words.
_WORDS: dict[str, dict[int, str]] = {"bits": {READS: "reads", WRITES: "writes"}}

#: Carries out a command.
Handler = Callable[[Dialogue, Any], None]


class Verb(NamedTuple):
    """A kind of command that is audited.

    :ivar word: what the audit calls it.
    :ivar form: in whose words the result is told, however the client hears it.
    :ivar asked: the fields of the command that tell what else was asked for, each with
        its usual value.
    """

    word: str
    form: Form
    asked: tuple[tuple[str, object], ...]

    @classmethod
    def of(cls, word: str, command: type[Any]) -> Verb:
        """Return the one of a kind of command."""
        usual = command._field_defaults
        asked = [
            (name, usual.get(name))
            for name in command._fields
            if name not in ("queue", "form")
        ]
        return cls(word, usual["form"], tuple(asked))


class Audited(Dialogue, Witness):
    """The dialogue of one command, which notes what came of that."""

    def __init__(
        self, dialogue: Dialogue, command: Any, verb: Verb, **more: int | None
    ) -> None:
        """Begin.

        :param more: what else was asked for.
        """
        super().__init__(dialogue.connection, dialogue.host)
        # Its own are methods, not attributes: those would hold it for ever.
        del self.expect, self.goOn
        peer, user = self.connection.peer, self.connection.userName
        self._actor = Actor(peer, command.form.way, user)
        self._verb = verb
        self._queue: bytes | None = getattr(command, "queue", None)
        self._more: dict[str, Any] = dict(more)
        for name, usual in verb.asked:
            value = getattr(command, name)
            if value != usual:
                self._more[name] = _WORDS.get(name, {}).get(value, value)
        self._begun = self.session.seconds()
        self._hasMore = self._isNoted = False
        self._render: Render

    def remark(self, **more: str) -> None:
        """Take down more of the command than its result."""
        self._more.update(more)

    def expect(self, operation: Operation, render: Render) -> None:
        """Answer with what an operation will find, and note that."""
        self._render = render
        self.replies.witnesses += 1
        self.replies.expect(operation, self)

    def goOn(self, rest: Operation, render: Render) -> None:
        """Answer with what the rest of it will find; the result is not whole yet."""
        self._hasMore = True
        self.replies.goOn(rest, self)

    def __call__(self, operation: Operation) -> bytes:
        """Make the reply, and note the result if it is the last one."""
        self._add(operation)
        self._hasMore = False
        reply = self._render(operation)
        if not self._hasMore:
            self._end(operation)
        return reply

    def abandon(self, operation: Operation) -> None:
        """Note the result; nobody is there to hear it."""
        self._add(operation)
        if operation.rest is None:
            self._end(operation)

    def look(self, operation: Operation) -> None:
        """Note the result before the reply is made, if there is nothing to follow."""
        if operation.rest is None and not self._hasMore:
            self._add(operation)
            self._note(operation)

    def _add(self, operation: Operation) -> None:
        """Count the messages that it was about."""
        if type(operation.result) is int:
            self._more["count"] = self._more.get("count", 0) + operation.result

    def _end(self, operation: Operation) -> None:
        self._note(operation)
        # It knows this, most often.
        del self._render

    def _note(self, operation: Operation) -> None:
        if self._isNoted:
            return
        self._isNoted = True
        self.replies.witnesses -= 1
        words, error = self._outcome(operation)
        ms = (self.session.seconds() - self._begun) * 1000
        self.host.audit.note(
            *(self._actor, self._verb.word, self._queue, words),
            **{"error": error, "ms": ms, **self._more},
        )

    def _outcome(self, operation: Operation) -> tuple[str, str | None]:
        """Return the words of the result, and of the error if it is one."""
        result, form = operation.result, self._verb.form
        if isinstance(operation, Move | Redrive):
            count = self._more.get("count", 0)
            if operation.isCut:
                result = MoveCut(count)
            elif operation.refusal is not None and not count:
                result = operation.refusal
            elif not isinstance(result, QueueError):
                return _text(form.moved(count)), GONE if result is None else None
        if result is False or isinstance(result, NotOpen):
            return _text(form.none), None
        if isinstance(result, QueueError):
            words = _text(form.error(result))
            return words, words
        return _text(form.done), None


def _text(reply: bytes) -> str:
    return reply.decode("utf-8", "backslashreplace").rstrip("\r\n")


def audited(
    verbs: Mapping[type[Any], tuple[str, Handler]],
) -> dict[type[Any], Handler]:
    """Return handlers of commands that are audited.

    :param verbs: by command: what the audit calls it, and what carries it out.
    """
    return {
        command: _audited(handler, Verb.of(word, command))
        for command, (word, handler) in verbs.items()
    }


def _audited(handler: Handler, verb: Verb) -> Handler:
    def carryOut(dialogue: Dialogue, command: Any) -> None:
        handler(Audited(dialogue, command, verb), command)

    return carryOut
