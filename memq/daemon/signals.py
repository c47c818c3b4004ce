"""Signals: held back while a server starts, and carried out by the reactor then.

By default SIGHUP and SIGUSR1 end a process, and service managers take the former for a
clean end; twistd dies of its own SIGTERM after a clean stop.  So ``holdRequests`` comes
before all else, before anything is imported that is slow to import, Twisted included,
and in particular before the log is opened and the rules are read.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

#: Requests to a running server, which are no reason to end one that starts.
REQUESTS = (signal.SIGHUP, signal.SIGUSR1)


def holdRequests() -> None:
    """Let requests wait; and let SIGINT end the process at once, without a traceback.

    Nothing is open yet that an end could harm.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, REQUESTS)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


class Signals:
    """Carry out, in the reactor, what a signal asks for.

    The reactor puts in handlers of its own when it begins to run, and one of
    those would decide the exit status.  So the signals are held back until it
    runs: one that comes before is then acted on, and none is lost.
    """

    def __init__(
        self, reactor: Any, actions: Mapping[signal.Signals, Callable[[str], None]]
    ) -> None:
        """Take what to do on each signal; it is told the signal's name."""
        self._reactor = reactor
        self._actions = dict(actions)

    def hold(self) -> None:
        """Hold the signals back, here and in threads that are made meanwhile."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self._actions)

    def install(self) -> None:
        """Put the handlers in place of the reactor's, and let the signals come."""
        for number in self._actions:
            signal.signal(number, self._handle)
            # The store's reads and writes are not to be cut short.
            signal.siginterrupt(number, False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._actions)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Leave a signal to the reactor, for it came in the middle of anything."""
        name = signal.Signals(number)
        self._reactor.callFromThread(self._actions[name], name.name)
