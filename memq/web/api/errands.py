"""Errands: operations that requests ask for, each with a session of its own.

An operation runs in the broker's turns as a command does, and what it found is told
when it is durable.  Those that go on in slices are done with the last of them.  Nobody
ends them: one goes on when whoever asked is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from memq.errors import (
    BodyTooLarge,
    ConfigError,
    DamagedMessage,
    NotStored,
    OutOfSpace,
    QueueError,
    RulesNotKept,
    RulesRefused,
)
from memq.operations.base import Operation, Slice
from memq.operations.peeks import PeekMany
from memq.web.http.inputs import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.broker.interfaces import IEngine
    from memq.broker.session import Session
    from memq.web.health import Readiness

#: The status of an error, by its class; the first one that fits.
_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (NotStored, 409),
    (RulesNotKept, 507),
    (RulesRefused, 409),
    (ConfigError, 409),
    (OutOfSpace, 507),
    (DamagedMessage, 500),
    (BodyTooLarge, 413),
    (QueueError, 503),
)


def refusal(error: BaseException) -> Refused | None:
    """Return what is told of an error, None if nobody foresaw it."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            words = error.why if isinstance(error, NotStored) else str(error)
            return Refused(code, words, **({"Retry_After": "1"} if code == 503 else {}))
    return None


class _Errand:
    """An operation, and the slices that follow it."""

    def __init__(
        self, broker: IEngine, make: Callable[[Session], Operation], done: Deferred[Any]
    ) -> None:
        self._done = done
        self._parts: list[Any] = []
        self._session = session = broker.session(self._cbDone)
        self._operation: Operation | None = make(session)
        if self._operation.done:
            self._cbDone()
        elif self._operation not in session.inbox:
            session.submit(self._operation)

    def _cbDone(self) -> None:
        """Go on with what follows, or tell."""
        while (part := self._operation) is not None and part.done:
            self._parts.append(part)
            if isinstance(part, PeekMany):
                # What it holds is bounded, and must not keep the rest from running.
                part.settle()
                self._session.catchUp()
            self._operation = part.follow() if isinstance(part, Slice) else None
            if self._operation is None:
                self._done.callback(self._parts)


class Errands:
    """Carry out operations for requests."""

    def __init__(self, broker: IEngine, readiness: Readiness) -> None:
        self._broker = broker
        self._readiness = readiness

    def check(self) -> None:
        """See that the store can be asked.

        :raise Refused: when it cannot be.
        """
        reasons = list(self._readiness.reasons(forWrites=False))
        if reasons:
            raise Refused(503, "; ".join(reasons), Retry_After="1")

    def run(self, make: Callable[[Session], Operation]) -> Deferred[Any]:
        """Carry out an operation as ``carryOut``; it fails with the error of one."""
        return self.carryOut(make).addCallback(_successful)

    def carryOut(self, make: Callable[[Session], Operation]) -> Deferred[Any]:
        """Carry out an operation.

        :param make: makes it, for a session.
        :return: fires with it, and with those that followed it, once all are done.
        :raise Refused: when the store cannot be asked.
        """
        self.check()
        done: Deferred[Any] = Deferred()
        _Errand(self._broker, make, done)
        return done


def _successful(parts: list[Operation]) -> list[Operation]:
    """Return operations all of which succeeded.

    :raise memq.errors.QueueError: the error of the last one.
    """
    result = parts[-1].result
    if isinstance(result, QueueError):
        raise result
    return parts
