"""System calls of a real server, as strace saw them, in their order.

strace writes a line when a call is over, with all that was written or sent; when
another thread comes in between, one line when it begins and one when it ends.  So the
line at which a call begins is there before the call had any effect, and the one at
which it ends, after that.
"""

from __future__ import annotations

import os
import re
import subprocess
from math import inf
from typing import TYPE_CHECKING

from testkit.servers import PATIENCE, Server

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Calls that change files and directories, that sync them, and that send.
CALLS = (
    "open,openat,creat,close,lseek,write,pwrite64,writev,pwritev,pwritev2,"
    "ftruncate,truncate,fallocate,fsync,fdatasync,sync_file_range,"
    "rename,renameat,renameat2,link,linkat,unlink,unlinkat,"
    "sendto,sendmsg,sendmmsg,sendfile"
)
#: All threads, descriptors with their names, all bytes of all strings in hexadecimal.
_STRACE = (
    *("strace", "-f", "--seccomp-bpf", "-yy", "-xx", "-s", "100000000"),
    *("-a", "1", "-e", "quiet=all", "-e", "signal=none", "-e", f"trace={CALLS}"),
)

_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()")
_RESULT = re.compile(r"\) = (-?\d+)")
_UNFINISHED = " <unfinished ...>"
_FILE = re.compile(r"(-?\d+)<((?:\\x[0-9a-f]{2})*)")
_PEER = re.compile(r"\d+<TCP:\[[^]]*->[^]]*:(\d+)\]>")


class Call:
    """A system call.

    :ivar name: which.
    :ivar text: its arguments, as strace writes them.
    :ivar began: the moment at which it began: a number that grows.
    :ivar ended: the moment at which it had ended; infinite if it never did.
    :ivar result: what it returned; -1 when it failed, or never returned.
    """

    __slots__ = ("began", "ended", "name", "result", "text")

    def __init__(self, name: str, text: str, began: int) -> None:
        self.name = name
        self.text = text
        self.began = began
        self.ended = inf
        self.result = -1

    @property
    def strings(self) -> list[bytes]:
        """Return its strings: paths, or what was written or sent."""
        # Everything in hexadecimal: there is no quotation mark within.
        parts = self.text.split('"')[1::2]
        return [_bytes(part) for part in parts]

    @property
    def data(self) -> bytes:
        """Return what it wrote or sent, as much as was taken."""
        return b"".join(self.strings)[: max(self.result, 0)]

    @property
    def file(self) -> int:
        """Return its first descriptor."""
        found = _FILE.match(self.text)
        return int(found[1]) if found else -1

    @property
    def path(self) -> str:
        """Return the path of the file that its first descriptor is of."""
        found = _FILE.match(self.text)
        return os.fsdecode(_bytes(found[2])) if found else ""

    @property
    def peer(self) -> int | None:
        """Return the port at the other end of the TCP connection that it is about."""
        found = _PEER.match(self.text)
        return int(found[1]) if found else None

    @property
    def numbers(self) -> list[int]:
        """Return its arguments behind the last string or descriptor."""
        tail = re.split(r'[">]', self.text)[-1]
        return [int(word) for word in tail.split(", ") if re.fullmatch(r"-?\d+", word)]


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def readCalls(lines: Iterable[str]) -> list[Call]:
    """Return the calls in what strace wrote, in the order in which they began."""
    calls: list[Call] = []
    unfinished: dict[str, Call] = {}
    for number, line in enumerate(lines):
        found = _LINE.match(line)
        if found is None:
            continue
        thread, resumed, name = found.groups()
        if resumed:
            call = unfinished.pop(thread)
            call.text += line[found.end() :]
        else:
            call = Call(name, line[found.end() :].rstrip("\n"), 2 * number)
            calls.append(call)
        if call.text.endswith(_UNFINISHED):
            call.text = call.text.removesuffix(_UNFINISHED)
            unfinished[thread] = call
            continue
        text, _, result = call.text.rpartition(") = ")
        call.text = text
        call.ended = 2 * number + 1
        call.result = int(result.split("<")[0].split()[0].replace("?", "-1"))
    return calls


def moments(calls: list[Call]) -> Iterator[tuple[float, Call]]:
    """Yield each call twice, with the moments of its begin and of its end, in order."""
    both: list[tuple[float, Call]] = [(call.began, call) for call in calls]
    both += [(call.ended, call) for call in calls if call.ended != inf]
    yield from sorted(both, key=lambda one: one[0])


class TracedServer(Server):
    """A real server under strace."""

    def __init__(self, home: str, trace: str, *options: str, before: str = "") -> None:
        """Name the file that the trace goes into; see :class:`Server` for the rest."""
        super().__init__(home, *options, before=before)
        self.under = (*_STRACE, "-o", trace)
        self._trace = trace

    @property
    def pid(self) -> int:
        """The id of the server, which strace is the parent of."""
        with open(os.path.join(self.home, "memq", "lock"), encoding="ascii") as file:
            return int(file.read())

    def start(self) -> Server:
        """Start it, if strace can."""
        requireStrace()
        return super().start()

    def calls(self) -> list[Call]:
        """Return what it has done, once it has ended."""
        with open(self._trace, encoding="ascii") as file:
            return readCalls(file)


def requireStrace(command: str = "strace") -> None:
    """Say in clear words if system calls cannot be traced here.

    :raise AssertionError: when that is so.
    """
    try:
        found = subprocess.run(
            [command, "-f", "-o", os.devnull, "true"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        why = found.stderr.strip() if found.returncode else ""
    except FileNotFoundError:
        why = "it is not installed"
    if why:
        raise AssertionError(
            f"this test traces system calls with strace, which does not work: {why} "
            "(Debian: apt-get install strace; in a container: --cap-add SYS_PTRACE)"
        )
