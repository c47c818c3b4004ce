"""The transport of TLS: what a protocol above writes, encrypted and sent at once.

Nothing is kept here that the transport beneath could keep: each write ends as one of
that.  Invariant: when ``write`` returns, all records of the data are with it, in order,
though the protocol above may have written more from within.

The transport beneath tells how many bytes have not arrived, and those are bytes of
records; a record counts as arrived when all of it has, for less cannot be read.
"""

from __future__ import annotations

import ssl
from abc import ABC, abstractmethod
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Bytes of the largest record.
RECORD = 16 * 1024
#: Bytes that are encrypted before they are taken from the library, whose buffers never
#: shrink: each connection would keep twice its largest message.
BATCH = 4 * RECORD


class EncryptedTransport(ABC):
    """What the protocol above writes to.

    :ivar transport: the one beneath.
    :ivar peerNames: of the client's certificate, as ``CN=shop-1`` and
        ``DNS:shop.internal``; empty without one.
    :ivar negotiatedProtocol: what ALPN has chosen, None for nothing.
    """

    transport: Any
    peerNames: tuple[str, ...] = ()
    negotiatedProtocol: bytes | None = None

    def __init__(self) -> None:
        """Begin without a handshake."""
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        #: Whether the client sends no more; whether nothing is sent any more.
        self._isRead = self._isOver = False
        #: Since ``keepLittle``: how many bytes were written above and beneath, the ends
        #: of writes in both, and how many bytes of those above have arrived.
        self._above = self._beneath = self._arrived = 0
        self._marks: deque[tuple[int, int]] | None = None

    def decrypted(self, tls: ssl.SSLObject) -> tuple[list[bytes], ssl.SSLError | None]:
        """Return what has come, in pieces, and what ended that, if something did.

        :return: the error is SSLZeroReturnError where the other side has ended it.
        """
        pieces: list[bytes] = []
        incoming, read = self._incoming, tls.read
        try:
            while incoming.pending:
                piece = read(RECORD)
                if not piece:
                    raise ssl.SSLZeroReturnError
                pieces.append(piece)
        except ssl.SSLWantReadError:
            # The rest of a record is to come.
            pass
        except ssl.SSLError as error:
            # Nothing counts that comes behind an end.
            incoming.read()
            return pieces, error
        return pieces, None

    def __getattr__(self, name: str) -> Any:
        """Return what the transport beneath has, such as ``getPeer``."""
        # Only what is not found here comes here; before there is one, nothing does.
        if self.transport is None or name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self.transport, name)
        # Not an attribute of its own: this would hold itself.
        return self._unacknowledged if name == "unacknowledged" else found

    @abstractmethod
    def _break(self, error: ssl.SSLError) -> None:
        """End a connection that has failed."""

    def write(self, data: bytes) -> None:
        """Encrypt data and send it at once."""
        if self._marks is not None:
            # Also what is dropped below: it does not arrive.
            self._above += len(data)
        if self._isOver or not data:
            return
        assert self._tls is not None
        try:
            if len(data) > RECORD:
                records = self._encrypt(self._tls, data)
            else:
                self._tls.write(data)
                records = self._outgoing.read()
        except ssl.SSLError as error:
            self._break(error)
            return
        self._send(records)

    def _encrypt(self, tls: ssl.SSLObject, data: bytes) -> bytes:
        """Return the records of much data.

        They are sent as one: while they are, the protocol above may write more.
        """
        records: list[bytes] = []
        with memoryview(data) as rest:
            at = 0
            while at < len(rest):
                at += tls.write(rest[at : at + RECORD])
                if self._outgoing.pending >= BATCH:
                    records.append(self._outgoing.read())
        records.append(self._outgoing.read())
        return b"".join(records)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Encrypt pieces as one and send them at once."""
        self.write(b"".join(iovec))

    @property
    def disconnecting(self) -> bool:
        """Whether the connection ends when everything is sent."""
        return bool(self.transport.disconnecting)

    def loseConnection(self, *reason: Any) -> None:
        """Say so, and close when everything is sent."""
        self._isRead = True
        self._farewell()
        self.transport.loseConnection(*reason)

    def finishWriting(self) -> None:
        """Say so, and close when everything has arrived."""
        self._farewell()
        self.transport.finishWriting()

    def _farewell(self) -> None:
        """Send a close_notify, and nothing from then on."""
        if not self._isOver and self._tls is not None:
            # The client has not said so yet, or it sends on: nobody waits for it.
            with suppress(ssl.SSLError):
                self._tls.unwrap()
            self._flush()
        self._isOver = True

    def abortConnection(self) -> None:
        """Cut the connection off."""
        self._isRead = True
        self.transport.abortConnection()

    def keepLittle(self) -> None:
        """Let the kernel keep little that has not arrived; watch what arrives."""
        if self._marks is None:
            self._marks = deque()
        self.transport.keepLittle()

    def _unacknowledged(self) -> int:
        """Return how many bytes, of those written since ``keepLittle``, may be lost.

        A write counts when all its records have arrived.
        """
        marks, underWay = self._marks, self.transport.unacknowledged()
        if marks is None:
            return int(underWay)
        arrived = self._beneath - underWay
        while marks and marks[0][0] <= arrived:
            self._arrived = marks.popleft()[1]
        return self._above - self._arrived

    def getPeerCertificate(self) -> bytes | None:
        """Return the client's certificate as DER; None without one."""
        return None if self._tls is None else self._tls.getpeercert(binary_form=True)

    @property
    def peer(self) -> str:
        """Return what the log calls the client."""
        address = self.transport.getPeer()
        if isinstance(address, IPv4Address | IPv6Address):
            return f"{address.host}:{address.port}"
        return "a local client"

    def _flush(self) -> None:
        """Send what the library says of itself."""
        said = self._outgoing.read()
        if said:
            self._send(said)

    def _send(self, records: bytes) -> None:
        self.transport.write(records)
        if self._marks is not None:
            self._beneath += len(records)
            self._marks.append((self._beneath, self._above))
