"""Policy reload: reads the configuration file again while the server runs.

A file of a megabyte takes half a second to read, so that is done in a thread, one
reading at a time; to put its rules in place takes no time.  Requests that come while
one is under way share the next one, since the file may have changed after the first
began.  A file with a mistake changes nothing.
"""

from __future__ import annotations

import gc
import sys
from time import time
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from memq.config.file import Config, findConfig
from memq.errors import ConfigError
from memq.policy.rules import Rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

#: Seconds after which Python is handed on while a file is read.  The reactor waits for
#: it behind each call of Berkeley DB's, several times for a set: with Python's own 5
#: ms, a set took 22 ms meanwhile and 44 at most, with this 1.4 and 13.
SWITCH = 0.0002

_log = Logger()


class PolicyReloader:
    """Read the rules again, as often as that is asked for.

    :ivar isCurrent: whether the rules in force are those that were read last.
    :ivar readAt: when these were read, in seconds since 1970-01-01 UTC.
    """

    def __init__(
        self,
        config: Config,
        run: Callable[..., Deferred[Any]],
        apply: Callable[[Rules], None],
        isRead: bool = True,
        seconds: Callable[[], float] = time,
    ) -> None:
        """Begin with what the file said at the start.

        :param run: calls a function in a thread, and returns a Deferred of its result.
        :param apply: lets rules hold.
        :param isRead: False when no file is to be read at all (--no-config).
        """
        self._server = config.server
        self._path = config.path
        self._run = run
        self._apply = apply
        self._isRead = isRead
        self._isReading = False
        self._seconds = seconds
        self.isCurrent, self.readAt = True, seconds()
        #: Those that are told of the next reading.
        self._waiting: list[Deferred[None]] = []

    def reload(self) -> Deferred[None]:
        """Read the file again, or the one that is at DEFAULT by now.

        :return: fires when its rules hold.  It fails with memq.errors.ConfigError when
            they cannot be, or when a file is gone that was there once: the rules stay
            as they are.
        """
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        if not self._isReading:
            self._begin()
        return done

    def reloadFor(self, why: str) -> Deferred[str | None]:
        """Read the file again because of a signal; a mistake is logged.

        :param why: what asked for it, for the log.
        :return: fires with the mistake, None without one.
        """
        done: Deferred[Any] = self.reload().addErrback(self._ebRefused, why)
        return done.addErrback(self._ebFailed)

    def _ebFailed(self, failure: Failure) -> str:
        _log.failure("Rules could not be read", failure)
        return failure.getErrorMessage()

    def _ebRefused(self, failure: Failure, why: str) -> str:
        failure.trap(ConfigError)
        _log.error(
            "{why}: {error}; the rules stay as they were",
            why=why,
            error=failure.getErrorMessage(),
        )
        return failure.getErrorMessage()

    def _begin(self) -> None:
        self._isReading = True
        asked, self._waiting = self._waiting, []
        done = self._run(self._read).addCallback(self._cbRead)
        done.addBoth(self._cbOver, asked)

    def _read(self) -> tuple[Config, Rules]:
        """Return what the file says, and its rules; in any thread."""
        before, collects = sys.getswitchinterval(), gc.isenabled()
        sys.setswitchinterval(SWITCH)
        # It would look through all that is read, over and over, and hand nothing on
        # meanwhile: others waited up to 19 ms for that, and 8 without it.
        gc.disable()
        try:
            config = findConfig(self._path) if self._isRead else Config()
            return config, Rules(config.queues)
        finally:
            sys.setswitchinterval(before)
            if collects:
                gc.enable()

    def _cbRead(self, read: tuple[Config, Rules]) -> None:
        """Let the rules hold, if there is a file; name options that differ."""
        config, rules = read
        if config.path is None:
            return
        self._path = config.path
        _log.info(
            "{path} is read again: {tables} [queue] tables",
            path=config.path,
            tables=len(config.queues),
        )
        names = sorted({*self._server, *config.server})
        changed = [
            name for name in names if self._server.get(name) != config.server.get(name)
        ]
        if changed:
            _log.info(
                "{path}: changed in [server] or [web], and takes effect when memq is "
                "started again: {names}",
                path=config.path,
                names=", ".join(changed),
            )
        self._apply(rules)
        self.readAt = self._seconds()

    def _cbOver(self, result: Any, asked: list[Deferred[None]]) -> None:
        self._isReading = False
        self.isCurrent = result is None
        if self._waiting:
            self._begin()
        for each in asked:
            each.callback(result)
