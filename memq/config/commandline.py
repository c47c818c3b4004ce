"""The options of ``twistd memq``, checked before anything is done.

The table is in settings.py.  Each option has its value from the command line, or else
from the configuration file (file.py), or else by default.  Each mistake ends the
process with one line on standard error and status 1: twistd by itself prints its whole
help and, before Twisted 23, ends with status 0.

Of the three programs each has another library: twistd takes usage.Options and nothing
else; ``memcacheq`` needs getopt, which takes MemcacheQ's lines as MemcacheQ did; and
``memq`` has subcommands with words between their options, which is argparse's.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.python import usage

from memq import __version__
from memq.config import file
from memq.config.cluster import conflict, meaningless
from memq.config.file import Config, findConfig
from memq.config.settings import COUNT, FLAG, HELP, LIST, SERVER, Setting
from memq.display import shownText
from memq.errors import OptionError, StartError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memq.config.listening import Listen

#: Where to listen.  When the command line says so, the file has no word in it.
_PLACES = ("port", "listen", "socket", "endpoint")
#: Options that are lists.
_LISTS = [setting.name for setting in SERVER if setting.kind is LIST]


def _described(setting: Setting) -> str:
    """Return the help of an option with its default."""
    if setting.default is None:
        return HELP[setting.name]
    return f"{HELP[setting.name]} [default: {setting.default}]"


class Options(usage.Options):
    """The options as they were given, checked; each value under its option's name.

    :ivar given: the names of those that were given, on the command line or in the
        configuration file.
    :ivar config: what the configuration file says, nothing if there is none.
    :ivar listens: those of its [[listen]] tables that count: all, or none.
    :ivar pidFile: the path of the pid file, empty for none.
    """

    #: twistd puts its own usage before it.
    synopsis = "[options]"
    longdesc = "A persistent message queue behind the protocols of memcached."
    optParameters = [  # noqa: RUF012 - this is how usage.Options wants it
        [setting.name, setting.letter, None, _described(setting)]
        for setting in SERVER
        if setting.kind.takesValue and setting.kind is not LIST
    ]
    optFlags = [  # noqa: RUF012 - and this
        [setting.name, setting.letter, HELP[setting.name]]
        for setting in SERVER
        if setting.kind is FLAG
    ]

    def __init__(self) -> None:
        usage.Options.__init__(self)
        self.given: frozenset[str] = frozenset()
        self.config = Config()
        self.listens: tuple[Listen, ...] = ()
        self.pidFile = ""
        self._begun = time()
        self["verbose"] = 0
        for name in _LISTS:
            self[name] = []

    def opt_endpoint(self, description: str) -> None:
        """Listen on a Twisted endpoint, instead of --port; may be repeated."""
        self["endpoint"].append(description)

    def opt_web_hosts(self, name: str) -> None:
        """Take requests for this name of the machine, too; may be repeated."""
        self["web-hosts"].append(name)

    def opt_web_queue_metrics(self, pattern: str) -> None:
        """Tell metrics of these queues one by one [default: *]; may be repeated."""
        self["web-queue-metrics"].append(pattern)

    def opt_verbose(self) -> None:
        """Log errors; twice, every command."""
        self["verbose"] += 1

    opt_v = opt_verbose

    def opt_version(self) -> NoReturn:
        """Display memq's version and exit."""
        print(f"memq {__version__}")
        sys.exit(0)

    opt_h = usage.Options.opt_help

    def parseOptions(self, options: list[str] | None = None) -> None:
        """Parse a command line.

        :raise SystemExit: with one line that says what is wrong.
        """
        try:
            usage.Options.parseOptions(self, options)
        except usage.UsageError as error:
            raise SystemExit(
                f"memq: {shownText(str(error))} (see twistd memq --help)"
            ) from None
        except StartError as error:
            raise SystemExit(f"memq: {shownText(str(error))}") from None

    def parseArgs(self, *words: str) -> None:
        """Refuse words that belong to no option."""
        if words:
            raise usage.UsageError(f"{words[0]} is not an option, nor its value")

    def postOptions(self) -> None:
        """Check the values, read the file, and put defaults where nothing is said."""
        self.pidFile = self._takePidFile()
        typed = {
            setting.name: _typed(setting, self[setting.name])
            for setting in SERVER
            if self[setting.name] not in (None, 0, [])
        }
        if not self["no-config"]:
            self.config = findConfig(typed.get("config"))
        elif "config" in typed:
            raise usage.UsageError("--config and --no-config exclude each other")
        given = {**self._read(typed), **typed}
        for setting in SERVER:
            self[setting.name] = given.get(setting.name, _default(setting))
        for name in _LISTS:
            self[name] = list(self[name])
        self["config"] = self.config.path
        self["auto-remove-logs"] = not self["keep-logs"]
        self.given = frozenset(given)
        wrong = conflict(self, self.given)
        if wrong is not None:
            raise StartError(wrong)

    def _takePidFile(self) -> str:
        """Return the path of the pid file, which is twistd's option no more.

        twistd refuses to start when another process has the number in it, or when there
        is none, and at the end removes it, whoever wrote it.
        """
        twistd: Any = {} if self.parent is None else self.parent
        path: str = twistd.get("pidfile") or ""
        if path:
            twistd["pidfile"] = ""
            # Without a current directory it cannot be had, as will be said later.
            with suppress(OSError):
                path = os.path.abspath(path)
        return path

    def _read(self, typed: dict[str, Any]) -> dict[str, Any]:
        """Return what the file says, as far as the command line leaves it a say."""
        read = dict(self.config.server)
        self.listens = self.config.listens
        if "port" not in typed and ("socket" in typed or self["endpoint"]):
            for name in _PLACES:
                read.pop(name, None)
            self.listens = ()
        return read

    def isOutdated(self, others: Iterable[str] = ()) -> bool:
        """Tell whether the file may have changed, or come, since it was read.

        :param others: paths of files that were read with it.
        """
        paths = [*others]
        if not self["no-config"]:
            paths.append(self.config.path or file.DEFAULT)
        for path in paths:
            with suppress(OSError):
                # Times of files are a few milliseconds behind.
                if os.stat(path).st_ctime > self._begun - 0.02:
                    return True
        return False

    def settings(self) -> list[tuple[str, str]]:
        """Return the options of this store with values, for ``stats settings``."""
        rows = []
        without = meaningless(self["store"])
        for setting in SERVER:
            if setting.name in without:
                continue
            value = self[setting.name]
            values = value or [None] if setting.kind is LIST else [value]
            rows += [(setting.name, _shown(setting, each)) for each in values]
        return rows


def _typed(setting: Setting, typed: Any) -> Any:
    """Return the value of an option, of what stands on the command line."""
    if setting.kind is FLAG:
        return True
    if setting.kind is COUNT:
        return typed
    if setting.kind is LIST:
        return [_parsed(setting, each) for each in typed]
    return _parsed(setting, typed)


def _parsed(setting: Setting, typed: str) -> Any:
    try:
        return setting.parse(typed)
    except ValueError as error:
        name = f"--{setting.name}"
        if setting.letter is not None:
            name += f" (-{setting.letter})"
        told = "..." if setting.isSecret else typed or "''"
        raise OptionError(name, told, str(error)) from None


def _default(setting: Setting) -> Any:
    if setting.kind is LIST:
        return [] if setting.default is None else [setting.parse(setting.default)]
    return None if setting.default is None else setting.parse(setting.default)


def _shown(setting: Setting, value: Any) -> str:
    return "none" if value is None else setting.show(value)
