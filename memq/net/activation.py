"""Socket activation: sockets of the service manager, as in sd_listen_fds(3).

They are the manager's.  They listen before this process does and after it: clients
that come meanwhile wait, and nobody is refused.  So the path of such a socket, its
permissions and the socket itself stay as they are when the server stops.

Twisted can adopt such sockets too, by its endpoint ``systemd:``.  But it does none of
the above for UNIX sockets, and as soon as it is imported it takes the variables out of
the environment; newer ones then forget sockets without names.  So they are read where
they still stand.
"""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING, Any

from twisted.internet import unix
from twisted.internet.defer import Deferred, succeed

from memq.errors import StartError
from memq.net.listeners import adopt
from memq.net.transport import sendAtOnce

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.internet.interfaces import IListeningPort, IProtocolFactory

    from memq.net.poller import Poller

#: The first descriptor that is handed over.
FIRST = 3
#: Where Linux keeps the environment that a process began with.
PROC = "/proc/self/environ"
#: More connections than any system lets wait: it takes the most that it may.
_MANY = 1 << 30

_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


class GivenListener:
    """A socket that listens already.

    :ivar name: what the manager calls it (FileDescriptorName=); empty for nothing.
    """

    def __init__(self, given: socket.socket, name: str = "") -> None:
        """Take it; no process that is started from here gets it."""
        given.set_inheritable(False)
        given.setblocking(False)
        self.given = given
        self.name = name

    @property
    def isUNIX(self) -> bool:
        """Whether it is a UNIX socket."""
        return self.given.family == socket.AF_UNIX

    def listen(
        self, poller: Poller, factory: IProtocolFactory
    ) -> Deferred[IListeningPort]:
        """Let in who waits, and who comes."""
        if not self.isUNIX:
            return adopt(poller, self.given, factory)
        port = GivenUNIXPort(self.given.dup(), factory, poller.reactor)
        port.startListening()
        # The port has a descriptor of its own.
        self.close()
        return succeed(sendAtOnce(port, poller))

    def close(self) -> None:
        """Let go of it; the manager's own descriptor stays."""
        self.given.close()


class GivenUNIXPort(unix.Port):
    """A UNIX socket whose path belongs to somebody else."""

    #: It would be shut down for the manager as well.
    _shouldShutdown = False

    def __init__(
        self, given: socket.socket, factory: IProtocolFactory, reactor: Any
    ) -> None:
        """Take a socket that listens, to be closed with the port."""
        # Twisted changes the permissions of a path at first, and removes it in the
        # end.  With names that are no paths, which begin with a NUL, it does neither.
        name = b"\0" + os.fsencode(given.getsockname())
        super().__init__(name, factory, backlog=_MANY, reactor=reactor)
        self._preexistingSocket = given


def firstEnvironment() -> dict[str, str]:
    """Return the environment that the process began with; empty without /proc."""
    try:
        with open(PROC, "rb") as file:
            pairs = os.fsdecode(file.read()).split("\0")
    except OSError:
        return {}
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def takeListeners(environment: Mapping[str, str]) -> list[GivenListener]:
    """Return what the service manager gave this process to listen on.

    No process that is started from here will think that it was given something.

    :param environment: the one that the process began with.
    :raise memq.errors.StartError: when memq cannot listen on one of them.
    """
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = environment.get("LISTEN_FDS", "")
    if not re.fullmatch("[0-9]{1,4}", count):
        raise StartError(f"LISTEN_FDS {count}: must be how many sockets there are")
    descriptors = range(FIRST, FIRST + int(count))
    for descriptor in descriptors:
        _check(descriptor)
    # There may be fewer names than sockets.
    names = [
        *environment.get("LISTEN_FDNAMES", "").split(":"),
        *[""] * len(descriptors),
    ]
    return [
        GivenListener(socket.socket(fileno=number), name)
        for number, name in zip(descriptors, names, strict=False)
    ]


def _check(descriptor: int) -> None:
    """Look whether memq can listen on a descriptor, and leave it as it is.

    :raise memq.errors.StartError: when it cannot.
    """
    try:
        given = socket.socket(fileno=descriptor)
        listens = given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        isStream = given.type == socket.SOCK_STREAM and given.family in _FAMILIES
        given.detach()
        why = "" if listens and isStream else "it is another one"
    except OSError as error:
        why = str(error.strerror)
    if why:
        raise StartError(
            f"LISTEN_FDS: descriptor {descriptor} must be a stream socket that "
            f"listens, of IPv4, IPv6 or UNIX: {why}"
        )
