"""Noted: operations for requests, each of which leaves one line in the audit.

The line says what the protocol would have answered.  It is written when the operation
is over, also where whoever asked for it is gone by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.defer import maybeDeferred

from memq.errors import QueueError
from memq.web.api.errands import refusal
from memq.web.http.inputs import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from memq.broker.session import Session
    from memq.logs.audit import Audit
    from memq.operations.base import Operation
    from memq.web.api.errands import Errands
    from memq.web.api.snapshot import Snapshots
    from memq.web.http.routes import Call


class Outcome(NamedTuple):
    """What came of an action.

    :ivar words: as the protocol says it.
    :ivar answer: what is told as JSON.
    :ivar error: what is told instead, where it was not done.
    :ivar more: what else the audit tells.
    """

    words: str
    answer: Mapping[str, Any] = {}
    error: BaseException | None = None
    more: Mapping[str, Any] = {}


class Noted:
    """Carry out actions, and note what came of each."""

    def __init__(
        self,
        clock: IReactorTime,
        errands: Errands,
        audit: Audit,
        snapshots: Snapshots,
    ) -> None:
        """Take what carries them out.

        :param snapshots: are to see what was changed.
        """
        self._clock = clock
        self._errands = errands
        self._audit = audit
        self._snapshots = snapshots

    def operate(
        self,
        call: Call,
        word: str,
        make: Callable[[Session], Operation],
        outcome: Callable[[Sequence[Any]], Outcome],
        **asked: Any,
    ) -> Deferred[Any]:
        """Carry out an operation.

        :param word: the command that does the same.
        :param make: makes it.
        :param outcome: returns what came of it, and of those that followed it.
        :param asked: what else the audit tells.
        """

        def run() -> Deferred[Outcome]:
            return self._errands.carryOut(make).addCallback(outcome)

        return self.note(call, word, run, **asked)

    def note(
        self,
        call: Call,
        word: str,
        act: Callable[[], Outcome | Deferred[Outcome]],
        **asked: Any,
    ) -> Deferred[Any]:
        """Do something, and return what is told of it."""
        begun = self._clock.seconds()

        def note(outcome: Outcome) -> Mapping[str, Any]:
            error = None if outcome.error is None else outcome.words
            self._audit.note(
                call.actor,
                word,
                call.names.get("queue"),
                outcome.words,
                error=error,
                ms=(self._clock.seconds() - begun) * 1000,
                **{**asked, **outcome.more},
            )
            self._snapshots.forget()
            if outcome.error is not None:
                raise outcome.error
            return outcome.answer

        done: Deferred[Any] = maybeDeferred(act)
        done.addErrback(_ebFailed)
        return done.addCallback(note)


def _ebFailed(failure: Failure) -> Outcome:
    error = failure.value
    assert error is not None
    return failed(error)


def failed(error: BaseException, **more: Any) -> Outcome:
    """Return what came of an action that could not be carried out.

    :raise BaseException: the error, if nobody foresaw it.
    """
    told = error if isinstance(error, Refused) else refusal(error)
    if told is None:
        raise error
    words = str(told)
    if isinstance(error, QueueError):
        words = error.reply.decode("utf-8", "backslashreplace")
    return Outcome(words, error=error, more=more)
