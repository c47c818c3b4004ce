"""The audit: a line for each thing that somebody did that manages the server.

It says who, from where, by which way, to which queue, and what came of that: in the log
among all others, and in a file of its own where one is named.  A line is written before
its client is answered, and nothing is kept in memory for it.  No client can turn that
off.

A file that cannot be written changes nothing for anybody: what it lacks is in the log,
which says so, at most once a minute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from twisted.logger import ILogObserver, Logger, globalLogPublisher
from zope.interface import implementer

from memq.display import shownName, shownText
from memq.ratelimit import Rarely

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twisted.logger import LogEvent

#: What can be told beside the queue and the result.
Value = str | bytes | int | float | None

_log = Logger()


class Actor(NamedTuple):
    """The one who did something.

    :ivar peer: from where: an address, or what else the log calls a client.
    :ivar way: text, meta or binary, of memcached's protocols; http; or signal.
    :ivar user: the name under which it is known here, None for none.
    """

    peer: str
    way: str
    user: str | None = None


class Target(NamedTuple):
    """The file of the audit.

    :ivar path: how a person knows it.
    :ivar write: writes an event; returns why that could not be done, or nothing.
    """

    path: str
    write: Callable[[LogEvent], str]


@implementer(ILogObserver)
class Audit:
    """Tell what somebody did.

    :ivar lost: lines that the file lacks.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        target: Target | None = None,
        log: Callable[[LogEvent], object] = globalLogPublisher,
    ) -> None:
        """Begin.

        :param seconds: returns the time, by a clock that is never set.
        :param target: the file; None for none.
        :param log: takes each event, too.
        """
        self.lost = 0
        #: Those since the file could be written last.
        self._missing = 0
        self._rarely = Rarely(seconds)
        self._target = target
        self._publish = log
        self._log = Logger("audit", observer=self)

    def note(
        self,
        actor: Actor,
        action: str,
        queue: bytes | None,
        result: str,
        *,
        error: str | None = None,
        ms: float | None = None,
        **more: Value,
    ) -> None:
        """Write a line.

        :param action: the word of the command.
        :param queue: the queue that it was done to; None if it was to no one queue.
        :param result: what came of it, in the words of the protocol.
        :param error: why it was not done; None if it was.
        :param ms: how long it took.
        :param more: what else was asked for; never a body, never a secret.
        """
        given = {name: value for name, value in more.items() if value is not None}
        self._log.info(
            "{line}",
            line=_line(actor, action, queue, result, given),
            peer=actor.peer,
            way=actor.way,
            user=actor.user,
            queue=queue,
            command=action,
            result=result,
            error=error,
            ms=ms,
            more=given,
        )

    def __call__(self, event: LogEvent) -> None:
        """Take an event of the audit to the file, and to the log."""
        why = "" if self._target is None else self._target.write(event)
        self._publish(event)
        if why:
            self._noteLost(why)
        elif self._missing:
            self._noteFound()

    def _noteLost(self, why: str) -> None:
        assert self._target is not None
        self.lost += 1
        self._missing += 1
        count = self._rarely.count("lost")
        if count:
            _log.error(
                "--audit-log {path}: {count} lines are in this log only: {error}",
                path=self._target.path,
                count=count,
                error=why,
            )

    def _noteFound(self) -> None:
        """Note that the file can be written again."""
        assert self._target is not None
        missing, self._missing = self._missing, 0
        _log.warn(
            "--audit-log {path} is written again; {count} lines are missing in it",
            path=self._target.path,
            count=missing,
        )


def _line(
    actor: Actor,
    action: str,
    queue: bytes | None,
    result: str,
    more: Mapping[str, Value],
) -> str:
    """Return what was done as a person reads it."""
    words = [actor.peer, f"({actor.way})" if actor.user is None else _user(actor)]
    words.append(action)
    if queue is not None:
        words.append(shownName(queue))
    words += [f"{name}={_shown(value)}" for name, value in more.items()]
    return f"{' '.join(words)}: {result}"


def _user(actor: Actor) -> str:
    return f"({actor.way}, {actor.user})"


def _shown(value: Value) -> str:
    return shownName(value) if isinstance(value, bytes) else shownText(str(value))
