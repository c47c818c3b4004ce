"""The command ``memcacheq``: MemcacheQ's own command line, served by memq.

A script that starts MemcacheQ need not change.  The letters are those of the settings
(config/settings.py), so most are handed on to ``twistd memq`` as they come; the rest is
about the process (-d -P -u -r), which is twistd's part, or has lost its meaning, which
the log then says.  As in MemcacheQ, root needs -u.  No configuration file is read.
"""

from __future__ import annotations

import getopt
import os
import pwd
import sys
from typing import TYPE_CHECKING

from memq import __version__
from memq.config.settings import SERVER
from memq.daemon.signals import holdRequests
from memq.display import shownText
from memq.errors import OptionError, StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: The version of MemcacheQ whose command line this is.
VERSION = "0.2.1"

#: Letters of settings, and whether a value follows each.
_SETTINGS = {
    f"-{setting.letter}": setting.kind.takesValue
    for setting in SERVER
    if setting.letter is not None
}

#: Letters that have lost their meaning, and why.
_MEANINGLESS = {
    "-b": "memory for messages is Python's own",
    "-t": "one thread runs every command, and syncing has its own",
    "-D": "one thread runs every transaction, so there are no deadlocks to look for",
    "-E": "all messages are in one file, so there are no extents",
    "-S": "the counts are written together with the messages",
    "-U": "UDP is off, and nothing else is built",
}

#: All letters, as getopt has them; those that no setting has are about the process.
LETTERS = "dhirP:u:" + "".join(
    [f"{letter[1]}:" for letter in _MEANINGLESS]
    + [letter[1] + ":" * takesValue for letter, takesValue in _SETTINGS.items()]
)

HELP = f"""\
memcacheq {VERSION}
This is memq {__version__}, which takes MemcacheQ's place: a persistent message
queue for memcached clients.  `twistd memq --help` shows all that it can do.

-p <num>      TCP port to listen on (default: 22201)
-l <addr>     address to listen on (default: 0.0.0.0, all of this machine's)
-s <file>     UNIX socket to listen on, instead of TCP
-a <mask>     access mask of the UNIX socket, in octal (default: 0700)
-d            run as a daemon
-P <file>     save the process id in <file>, with -d
-u <username> become this user (needed as root)
-r            maximize the core file limit
-c <num>      most connections at once (default: 1024)
-v            log errors and warnings
-vv           log every command as well
-h, --help    print this help and exit
-i            print the licence and exit
-H <dir>      home of the data (default: /data1/memcacheq)
-m <num>      page cache in megabytes (default: 64)
-A <num>      page size in bytes, for a new home (default: 4096)
-L <num>      log buffer in kilobytes (default: 1024)
-B <num>      largest message in bytes (default: 1M)
-C <num>      checkpoint every <num> seconds, 0 = off (default: 300)
-T <num>      write changed pages every <num> seconds, 0 = off (default: 0.5)
-e <num>      percent of the cache that is kept clean (default: 60)
-Y <file>     memcached's file of users; clients have to authenticate
-N            do not wait for the disk; a power cut may cost the last second
-R            remove log files that are done with (always on)
-b -t -D -E -S and -U 0 are accepted, and mean nothing any more.
No configuration file is read: what is not said here is by default.
The log goes to standard error, as a daemon as well; without -v, a daemon that
was started from a terminal keeps silent.
"""

_LICENCE = f"""\
memcacheq {VERSION}
This is memq {__version__}, Copyright (c) the memq authors.  It is free software
under the MIT licence, which comes with it in the file LICENSE.  No code of
MemcacheQ is in it.
"""


def main(
    arguments: Sequence[str] | None = None, run: Callable[[], None] | None = None
) -> None:
    """Start a server as MemcacheQ's command line asks for it.

    :param arguments: the words after the command; None for this process's.
    :param run: what runs twistd on ``sys.argv``; None for twistd itself.
    :raise SystemExit: when the line cannot be carried out; it says why.
    """
    holdRequests()
    # Twisted is slow to import, so it comes behind that.
    from twisted.logger import Logger
    from twisted.scripts import twistd

    from memq.daemon.process import raiseCoreLimit

    words = sys.argv[1:] if arguments is None else arguments
    try:
        options, rest = getopt.gnu_getopt(words, LETTERS, ["help"])
        for letter, _ in options:
            if letter in ("-h", "--help", "-i"):
                print(_LICENCE if letter == "-i" else HELP, end="")
                return
        given = dict(options)
        line = [*_twistdOptions(given), "memq", *_memqOptions(options)]
    except (getopt.error, StartError) as error:
        hint = " (see memcacheq -h)" if isinstance(error, getopt.error) else ""
        raise SystemExit(f"memcacheq: {shownText(str(error))}{hint}") from None
    for note in _notes(given, rest):
        Logger().info("{note}", note=note)
    if "-r" in given:
        raiseCoreLimit()
    sys.argv = ["memcacheq", *line]
    (run or twistd.run)()


def _twistdOptions(given: dict[str, str]) -> list[str]:
    """Return the options for twistd: how the process runs, and as whom."""
    line = ["--pidfile=", *_user(given)]
    if "-d" not in given:
        return ["--nodaemon", *line]
    if "-P" in given:
        line[0] = "--pidfile=" + _absolute(given["-P"])
    if "-r" not in given:
        # With -r it stays where it is, for that is where core files go.
        line.append("--rundir=/")
    if not _logsToStandardError(given):
        line.append("--logfile=/dev/null")
    return line


def _user(given: dict[str, str]) -> list[str]:
    if not _isRoot():
        return []
    if not given.get("-u"):
        raise StartError("can't run as root without the -u switch")
    try:
        user = pwd.getpwnam(given["-u"])
    except KeyError:
        raise StartError(f"can't find the user {given['-u']} to switch to") from None
    if user.pw_uid == 0:
        return []
    return [f"--uid={user.pw_uid}", f"--gid={user.pw_gid}"]


def _isRoot() -> bool:
    return 0 in (os.getuid(), os.geteuid())


def _logsToStandardError(given: dict[str, str]) -> bool:
    """Return whether there is a log; a quiet daemon leaves a terminal alone."""
    return "-d" not in given or "-v" in given or not os.isatty(2)


def _memqOptions(options: Sequence[tuple[str, str]]) -> list[str]:
    """Return the options for memq, defaults that are MemcacheQ's own included."""
    given = dict(options)
    if given.get("-U", "0") != "0":
        raise OptionError("-U", given["-U"], "must be 0, for UDP is not built")
    line = ["--no-config", "--home=" + _absolute(given.get("-H", "/data1/memcacheq"))]
    # Its command line has no word for another port, so there is none.
    line.append("--web-listen=")
    if "-s" in given:
        line.append("--socket=" + _absolute(given["-s"]))
    else:
        line.append("--listen=" + given.get("-l", "0.0.0.0"))
        line.append("--port=" + given.get("-p", "22201"))
    for letter, value in options:
        # The others have stood in the line already.
        if letter in _SETTINGS.keys() - {"-H", "-s", "-l", "-p"}:
            value = _absolute(value) if letter == "-Y" else value
            line += [letter, value] if _SETTINGS[letter] else [letter]
    if _logsToStandardError(given):
        line.append("--log-stderr")
    return line


def _absolute(path: str) -> str:
    """Return a path that holds wherever the process goes; none stays none."""
    return os.path.abspath(path) if path else path


def _notes(given: dict[str, str], rest: Sequence[str]) -> Iterator[str]:
    """Yield what a reader of the command line might not expect, a line each."""
    for letter, why in _MEANINGLESS.items():
        if letter in given:
            yield f"{letter} {given[letter]} means nothing any more: {why}"
    if "-u" in given and not _isRoot():
        yield f"-u {given['-u']}: only root can change users"
    if "-P" in given and "-d" not in given:
        yield f"-P {given['-P']}: only used with -d"
    if "-s" in given and given.keys() & {"-p", "-l"}:
        yield f"-s {given['-s']}: only there, so -p and -l are not used"
    if not given.keys() & {"-s", "-l"}:
        yield (
            "listening on all addresses of this machine, as MemcacheQ does; "
            "-l 127.0.0.1 keeps it private"
        )
    for word in rest:
        yield f"{word}: not an option, ignored"
