"""Resources: the home, the addresses and the logs of a server, taken at its start.

All of them may be refused, and are taken while there is still a terminal to say so on.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.python.util import runAsEffectiveUser

from memq.config.online import openOnline
from memq.config.values import MEGABYTE
from memq.daemon.listeners import takeServed
from memq.daemon.process import findOwner
from memq.daemon.security import readSecurity
from memq.errors import OptionError
from memq.logs.logfile import LogFile, chooseLog
from memq.logs.outputs import Outputs
from memq.storage.datadir.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from memq.config.commandline import Options
    from memq.config.online import Online
    from memq.daemon.listeners import ServedListener
    from memq.daemon.security import Security


class Resources(NamedTuple):
    """All that could have been refused to a server.

    :ivar online: the rules that clients have made.
    :ivar security: users and certificates.
    """

    home: Home | None
    listeners: Sequence[ServedListener]
    logs: Outputs
    online: Online
    security: Security


def takeResources(
    options: Options,
    reactor: Any,
    twistd: Mapping[str, Any],
    makeWay: Callable[[str], object],
) -> Resources:
    """Take the home, users and certificates, the addresses and the logs.

    :param twistd: the options of twistd itself.
    :param makeWay: see :meth:`memq.storage.datadir.home.Home.prepare`.
    :raise memq.errors.StartError: when one is refused; nothing is held.
    """
    with ExitStack() as undo:
        owner = findOwner(twistd)
        home = None
        if options["store"] == "bdb":
            _checkCache(options["cache-size"])
            home = Home(options["home"])
            undo.callback(home.release)
            runAsEffectiveUser(*owner, home.prepare, options["skip-damaged"], makeWay)
        rules = options.config.queues, options["skip-damaged"]
        online = runAsEffectiveUser(*owner, openOnline, home, *rules)
        security = readSecurity(options, reactor, owner)
        listeners = takeServed(options, reactor, owner, security, undo)
        logs = _takeLogs(options, twistd, owner)
        undo.pop_all()
    return Resources(home, listeners, logs, online, security)


def _takeLogs(
    options: Options, twistd: Mapping[str, Any], owner: tuple[int, int]
) -> Outputs:
    """Return the files of the logs, open.

    :raise memq.errors.StartError: when one cannot be opened.
    """
    journal = os.environ.get("JOURNAL_STREAM")
    log = chooseLog(twistd, options["log-stderr"], owner, journal)
    path, audit = options["audit-log"], None
    if path is not None:
        audit = LogFile.open(path, owner, "--audit-log")
    return Outputs(log, audit, options["verbose"], options["log-format"] == "json")


def _checkCache(size: int) -> None:
    """See that there can be a cache of ``size`` megabytes.

    Berkeley DB takes for damage that there is no memory for it.

    :raise memq.errors.OptionError: when it is more than the machine has.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MEGABYTE
    if size > memory:
        why = f"this machine has no more than {memory} megabytes of memory"
        raise OptionError("--cache-size (-m)", size, why)
