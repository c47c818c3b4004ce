"""The signals that come while a server starts, before it can act on them.

By default SIGHUP and SIGUSR1 end a process, and service managers take the former for a
clean end.  From here on they wait until :class:`memq.daemon.process.Signals` has its
handlers in place, and are acted on then.  So this comes before everything else, what is
slow to import included, and in particular before the log is opened and the rules are
read.
"""

from __future__ import annotations

import signal

#: What asks a running server for something, and is no reason to end one that starts.
REQUESTS = (signal.SIGHUP, signal.SIGUSR1)


def holdRequests() -> None:
    """Let requests wait; and let SIGINT end the process at once, without a traceback.

    Nothing is open yet that an end could harm.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, REQUESTS)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
