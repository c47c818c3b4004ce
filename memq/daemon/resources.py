"""Resources: the home, the addresses and the logs of a server, taken at its start.

All of them may be refused, and are taken while there is still a terminal to say so on.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.logger import Logger
from twisted.python.util import runAsEffectiveUser

from memq.config.online import openOnline
from memq.config.values import MEGABYTE
from memq.daemon.process import findOwner
from memq.errors import OptionError
from memq.logs.logfile import LogFile, chooseLog
from memq.logs.outputs import Outputs
from memq.net.activation import firstEnvironment, takeListeners
from memq.net.listeners import bindTCP, checkUNIX, parseEndpoint
from memq.storage.datadir.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from memq.config.commandline import Options
    from memq.config.online import Online
    from memq.net.activation import GivenListener
    from memq.net.listeners import Listener

#: Options that say where to listen; --endpoint is another one.
_ADDRESSES = ("port", "listen", "socket", "socket-mode")

_log = Logger()


class Resources(NamedTuple):
    """All that could have been refused to a server.

    :ivar online: the rules that clients have made.
    """

    home: Home | None
    listeners: Sequence[Listener]
    logs: Outputs
    online: Online


def takeResources(
    options: Options,
    reactor: Any,
    twistd: Mapping[str, Any],
    makeWay: Callable[[str], object],
) -> Resources:
    """Take the home, the addresses and the logs.

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
        listeners: Sequence[Listener] = _givenListeners(options, undo)
        if not listeners:
            listeners = _listeners(options, reactor, owner, undo)
        logs = _takeLogs(options, twistd, owner)
        undo.pop_all()
    return Resources(home, listeners, logs, online)


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


def _givenListeners(options: Options, undo: ExitStack) -> list[GivenListener]:
    """Return what the service manager gave to listen on, instead of any option.

    :raise memq.errors.StartError: when memq cannot listen on it.
    """
    given = takeListeners(firstEnvironment())
    for listener in given:
        undo.callback(listener.close)
    unused = [f"--{name}" for name in _ADDRESSES if name in options.given]
    if options["endpoint"]:
        unused.append("--endpoint")
    if given and unused:
        _log.info(
            "The service manager says where to listen, and not {unused}",
            unused=", ".join(unused),
        )
    return given


def _listeners(
    options: Options, reactor: Any, owner: tuple[int, int], undo: ExitStack
) -> list[Listener]:
    """Return what to listen on.

    A UNIX socket belongs to ``owner``; a TCP port below 1024 needs root.

    :raise memq.errors.OptionError: when an address cannot be had.
    """
    listeners: list[Listener] = []
    if "port" in options.given or not (options["socket"] or options["endpoint"]):
        listeners += bindTCP(options["listen"], options["port"])
        for listener in listeners:
            undo.callback(listener.close)
    if options["socket"]:
        address = options["socket"], options["socket-mode"]
        listeners.append(runAsEffectiveUser(*owner, checkUNIX, *address))
    listeners += [parseEndpoint(reactor, text) for text in options["endpoint"]]
    return listeners
