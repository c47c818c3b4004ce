"""Strangers: very many clients that do not come in, and a server that asks for it.

All of them live in one thread, and go on a little whenever they are told to.  None
comes in: each says its pieces, the next one when the one before is answered, and then
waits until it is cut off.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from memq.access.secrets import PasswordHash, TokenHash
from testkit.wire import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from testkit.servers import Server

#: A secret of the user shop, which is a token, and that of ops, which is a password.
TOKEN, PASSWORD = b"token-of-shop", b"password-of-ops"

_TABLES = """
[[listen]]
address = "tcp:0:interface=127.0.0.1"
auth = "none"
[[listen]]
address = "tcp:0:interface=127.0.0.1"
auth = "password"
[[listen]]
address = "tcp:0:interface=127.0.0.1"
auth = "password"
tls = true
[tls]
certificate = "{certificate}"
key = "{key}"
[user.shop]
role = "admin"
token = "{token}"
[user.ops]
role = "admin"
password = "{password}"
"""


def configuration(directory: str, certificate: str, key: str) -> str:
    """Return the path of a file that asks who clients are, by each way but one."""
    path = os.path.join(directory, "memq.toml")
    told = _TABLES.format(
        certificate=certificate,
        key=key,
        token=TokenHash.of(TOKEN),
        password=PasswordHash.of(PASSWORD),
    )
    with open(path, "w", encoding="utf-8", opener=_private) as file:
        file.write(told)
    return path


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class Ports(NamedTuple):
    """Where a server with that file listens."""

    free: int
    asks: int
    secured: int


def portsOf(server: Server) -> Ports:
    """Return them, once the server listens; the first is that of ``--port``."""
    where = "Listening on 127.0.0.1:"
    lines = [server.waitForLine(where, nth) for nth in (2, 3, 4)]
    return Ports(*(int(line.partition(where)[2]) for line in lines))


def hello() -> bytes:
    """Return what a client says first by TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def inText(user: bytes, secret: bytes) -> bytes:
    """Return how a client says who it is in text."""
    body = b"%b %b" % (user, secret)
    return b"set auth 0 0 %d\r\n%b\r\n" % (len(body), body)


def inPacket(user: bytes, secret: bytes) -> bytes:
    """Return how a client says it by SASL PLAIN."""
    said = b"\0%b\0%b" % (user, secret)
    size = len(b"PLAIN" + said).to_bytes(4, "big")
    return b"\x80\x21\0\5" + bytes(4) + size + bytes(12) + b"PLAIN" + said


class Flood:
    """So many clients, some of which are there at a time.

    :ivar begun: how many have come so far.
    :ivar ended: how many of them the server has ended.
    :ivar answers: how often one was answered something.
    """

    def __init__(
        self,
        port: int,
        count: int,
        pieces: Callable[[int], Sequence[bytes]],
        most: int = 2000,
    ) -> None:
        """Begin with none.

        :param pieces: what each of them says, by its number.
        :param most: how many are there at a time.
        """
        self._port = port
        self._count = count
        self._pieces = pieces
        self._most = most
        self._poll = select.epoll()
        self._clients: dict[int, tuple[socket.socket, list[bytes]]] = {}
        self.begun = self.ended = self.answers = 0

    @property
    def isOver(self) -> bool:
        """Whether all have come and have been ended."""
        return self.begun == self._count and not self._clients

    def goOn(self, number: int, seconds: float = 0.0) -> bool:
        """Let some more come, if there is room; let those go on that were answered.

        Return whether all have come.
        """
        number = min(number, self._count - self.begun, self._most - len(self._clients))
        for _ in range(number):
            client = socket.socket()
            client.setblocking(False)
            with suppress(BlockingIOError):
                client.connect(("127.0.0.1", self._port))
            pieces = list(self._pieces(self.begun))[::-1]
            self._clients[client.fileno()] = client, pieces
            # Once it is connected it can be written to, which is the first answer.
            self._poll.register(client, select.EPOLLOUT)
            self.begun += 1
        for file, event in self._poll.poll(seconds):
            self._act(file, event)
        return self.begun == self._count

    def _act(self, file: int, event: int) -> None:
        client, pieces = self._clients[file]
        try:
            if event & ~select.EPOLLOUT:
                if not client.recv(1 << 16):
                    raise ConnectionResetError
                self.answers += 1
            if pieces:
                client.sendall(pieces.pop())
            self._poll.modify(client, select.EPOLLIN)
        except OSError:
            self._poll.unregister(client)
            del self._clients[file]
            client.close()
            self.ended += 1

    def close(self) -> None:
        """Cut off all that are there."""
        for client, _ in self._clients.values():
            cut(client)
        self._clients.clear()
        self._poll.close()


def enter(port: int, context: ssl.SSLContext | None, said: bytes) -> bytes:
    """Come in as an honest client, set and take a message; return what was answered.

    :param context: for TLS.
    :raise OSError: when the server ends it before.
    """
    with socket.create_connection(("127.0.0.1", port), 30) as plain:
        wrapped = context and context.wrap_socket(plain, server_hostname="localhost")
        client = wrapped or plain
        client.sendall(said)
        answer = client.recv(1024)
        if answer == b"STORED\r\n":
            client.sendall(b"set honest 0 0 1\r\nx\r\nget honest\r\nquit\r\n")
            while piece := client.recv(1024):
                answer += piece
        return answer
