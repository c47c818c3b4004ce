"""The options of ``twistd memq``, checked before anything is done.

What there is stands in options.py.  Each option has its value from the command line,
or else from the configuration file (config.py), or else by default.  Whatever is wrong
ends the process with one line on standard error and status 1: twistd by itself prints
its whole help and, before Twisted 23, ends with status 0.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from time import time
from typing import Any, NoReturn

from twisted.python import usage

from memq import __version__
from memq.config import file
from memq.config.file import Config, findConfig
from memq.config.options import FLAGS, OPTIONS, Option, permissions
from memq.display import shownText
from memq.errors import OptionError, StartError

#: Where to listen.  When the command line says so, the file has no word in it.
_PLACES = ("port", "listen", "socket", "endpoint")


def _described(option: Option) -> str:
    """Return the help of an option with its default."""
    if option.default is None:
        return option.help
    return f"{option.help} [default: {option.default}]"


class Options(usage.Options):
    """What was asked for, checked; each value under its option's name.

    :ivar given: the names of the options that take a value and were given, on the
        command line or in the configuration file.
    :ivar config: what the configuration file says, nothing if there is none.
    :ivar pidFile: the path of the pid file, empty for none.
    """

    #: What twistd says before it is its own usage.
    synopsis = "[options]"
    longdesc = "A persistent message queue behind the memcached protocol."
    optParameters = [  # noqa: RUF012 - this is how usage.Options wants it
        [option.name, option.short, None, _described(option)] for option in OPTIONS
    ]
    optFlags = [list(flag) for flag in FLAGS]  # noqa: RUF012 - and this

    def __init__(self) -> None:
        usage.Options.__init__(self)
        self.given: frozenset[str] = frozenset()
        self.config = Config()
        self.pidFile = ""
        self._begun = time()
        self["verbose"] = 0
        self["endpoint"] = []

    def opt_endpoint(self, description: str) -> None:
        """Listen on a Twisted endpoint, instead of --port; may be repeated."""
        self["endpoint"].append(description)

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
            option.name: _parse(option, self[option.name])
            for option in OPTIONS
            if self[option.name] is not None
        }
        if not self["no-config"]:
            self.config = findConfig(typed.get("config"))
        elif "config" in typed:
            raise usage.UsageError("--config and --no-config exclude each other")
        read = self._read(typed)
        for option in OPTIONS:
            self[option.name] = _value(option, typed, read)
        for flag in FLAGS:
            self[flag.name] = self[flag.name] or int(read.get(flag.name, 0))
        self["verbose"] = self["verbose"] or read.get("verbose", 0)
        self["endpoint"] = self["endpoint"] or list(read.get("endpoint", ()))
        self["config"] = self.config.path
        self["auto-remove-logs"] = not self["keep-logs"]
        self.given = frozenset(each.name for each in OPTIONS) & {*typed, *read}

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
        """Return what the file says, as far as the command line leaves it a say.

        :param typed: the values that stand on the command line.
        """
        read = dict(self.config.server)
        if "port" not in typed and ("socket" in typed or self["endpoint"]):
            for name in _PLACES:
                read.pop(name, None)
        return read

    def isOutdated(self) -> bool:
        """Tell whether the file may have changed, or come, since it was read."""
        if self["no-config"]:
            return False
        try:
            changed = os.stat(self.config.path or file.DEFAULT).st_ctime
        except OSError:
            return False
        # Times of files are a few milliseconds behind.
        return changed > self._begun - 0.02

    def settings(self) -> list[tuple[str, str]]:
        """Return every option with its value, for ``stats settings``."""
        rows = [(option.name, _shown(option, self[option.name])) for option in OPTIONS]
        rows += [(flag.name, "yes" if self[flag.name] else "no") for flag in FLAGS]
        rows += [("verbose", str(self["verbose"]))]
        rows += [("endpoint", text) for text in self["endpoint"] or ["none"]]
        return rows


def _parse(option: Option, text: str) -> Any:
    """Return the value of an option.

    :raise memq.errors.OptionError: when it is not allowed.
    """
    try:
        return option.parse(text)
    except ValueError as error:
        name = f"--{option.name}"
        if option.short is not None:
            name += f" (-{option.short})"
        raise OptionError(name, text or "''", str(error)) from None


def _value(option: Option, typed: dict[str, Any], read: dict[str, Any]) -> Any:
    """Return the value of an option: as typed, or else as read, or else by default."""
    for values in (typed, read):
        if option.name in values:
            return values[option.name]
    return None if option.default is None else _parse(option, option.default)


def _shown(option: Option, value: Any) -> str:
    """Return a value as one word."""
    if value is None:
        return "none"
    if option.parse is permissions:
        return f"{value:04o}"
    return f"{value:g}" if isinstance(value, float) else str(value)
