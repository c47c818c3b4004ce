"""Changes of rules: a line becomes one, and is answered when it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from memq.commands.dialogue import ebFailed
from memq.config.online import Change, shortened
from memq.config.ruletext import readName, readWord, word
from memq.display import shownName
from memq.errors import QueueError, RulesRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from memq.commands.dialogue import Dialogue
    from memq.config.reload import Changed
    from memq.wire.forms import Form
    from memq.wire.rules.grammar import SetRule, TryRule, UnsetRule


def setting(command: SetRule | TryRule) -> Change:
    """Return the change that sets keys.

    Of a key that is there twice, the last one counts.

    :raise memq.errors.RulesRefused: when a word is not what it should be.
    """
    values: dict[str, Any] = {}
    words = command.values.split(b" ")
    for name, said in zip(words[::2], words[1::2], strict=True):
        try:
            key, text = name.decode(), said.decode()
        except UnicodeDecodeError:
            shown = shownName(name + b" = " + said)
            raise RulesRefused(f"{shown} is not UTF-8") from None
        try:
            values[key] = readWord(key, text)
        except ValueError as error:
            raise RulesRefused(f"{key} = {shortened(text)}: {error}") from None
    return Change(_named(command.queue), values)


def _named(pattern: bytes) -> bytes:
    try:
        return readName(pattern)
    except ValueError as error:
        raise RulesRefused(f"{shownName(pattern)}: {error}") from None


def setRule(dialogue: Dialogue, command: SetRule) -> None:
    """Set keys of an online rule."""
    try:
        change = setting(command)
    except RulesRefused as error:
        dialogue.refuse(error, command.form)
        return
    _change(dialogue, command, change)


def unsetRule(dialogue: Dialogue, command: UnsetRule) -> None:
    """Remove an online rule, or a key of it."""
    removed = None if command.key is None else [command.key.decode("utf-8", "replace")]
    _change(dialogue, command, Change(command.queue, removed=removed))


def _change(dialogue: Dialogue, command: SetRule | UnsetRule, change: Change) -> None:
    # The commands behind it are to find the new rules.
    dialogue.connection.hold()
    done = dialogue.host.rules.change(change)
    done.addCallback(_cbChanged, change, dialogue)
    answerChange(dialogue, command.form, done)


def answerChange(dialogue: Dialogue, form: Form, done: Deferred[Any]) -> None:
    """Answer with what became of a change, and go on with what is behind it."""
    done.addErrback(_ebRefused)
    done.addErrback(ebFailed, "Rules could not be changed", QueueError())
    dialogue.answerLater(form, done, dialogue.connection.release)


def _cbChanged(changed: Changed, change: Change, dialogue: Dialogue) -> bool | None:
    """Return False when there was nothing to remove."""
    if changed.old is not None:
        dialogue.remark(old=keysTold(changed.old))
    isThere = changed.old is not None and (
        not change.removed or not changed.old.keys().isdisjoint(change.removed)
    )
    return None if change.values or isThere else False


def keysTold(values: Mapping[str, Any]) -> str:
    """Return keys with their values, each as ``key=value``, in one line."""
    return " ".join([f"{key}={word(key, value)}" for key, value in values.items()])


def _ebRefused(failure: Failure) -> QueueError:
    failure.trap(QueueError)
    return cast("QueueError", failure.value)
