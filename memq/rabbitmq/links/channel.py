"""Channels: pika's, with a shorter way for what comes thousands of times a second.

A message that is published, asked for or acknowledged is encoded in one go, and what
answers that is decoded here; all else is pika's.  Both ways lead through the same
connection, in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pika import channel

from memq.rabbitmq.links import frames

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Channel(channel.Channel):  # type: ignore[misc]
    """A channel of pika's.

    :ivar found: is called with the tag, headers and body of the message that was asked
        for; None while none is.
    :ivar empty: is called if there is none.
    :ivar ended: is called at its end, when another one can have its place.
    :ivar confirmed: is called with the number of a published message, whether it means
        all up to that, and whether they are stored.
    """

    found: Callable[[int, Mapping[str, Any], bytes], object] | None = None
    empty: Callable[[], object]
    confirmed: Callable[[int, bool, bool], object] | None = None
    ended: Callable[[], object] = staticmethod(lambda: None)

    #: The message that comes: its tag, headers, bytes to come and parts of the body.
    _tag = _left = 0
    _headers: Mapping[str, Any] | None = None
    _parts: list[bytes]
    isReceiving = False

    def publish(
        self,
        exchange: str,
        key: str,
        body: bytes,
        number: int,
        headers: Mapping[str, Any] | None,
        expiration: str | None,
    ) -> None:
        """Publish a mandatory, persistent message.

        :param number: what a return of it is told by, as its message id.
        """
        most = self.connection.params.frame_max
        self.connection.send(
            frames.publish(
                self.channel_number,
                exchange,
                key,
                body,
                number,
                headers,
                expiration,
                most,
            )
        )

    def get(
        self,
        queue: str,
        found: Callable[[int, Mapping[str, Any], bytes], object],
        empty: Callable[[], object],
        isTaken: bool,
    ) -> None:
        """Ask for a message; nothing else may be asked for before the answer.

        :param isTaken: whether it is gone then, without an acknowledgement.
        """
        self.found, self.empty = found, empty
        self.connection.send(frames.get(self.channel_number, queue, isTaken))

    def acknowledge(self, tag: int) -> None:
        """Delete a message."""
        self.connection.send(frames.ack(self.channel_number, tag))

    def _cleanup(self) -> None:
        super()._cleanup()
        # Not before: who is told may open another one, which takes its number.
        self.ended()

    # What comes.

    def takes(self, which: int, payload: bytes) -> bool:
        """Take what a method says, if it is one of those above."""
        if which == frames.ACK or which == frames.NACK:
            confirmed = self.confirmed
            if confirmed is None:
                return False
            number, isMultiple = frames.numbered(payload)
            confirmed(number, isMultiple, which == frames.ACK)
            return True
        if self.found is None:
            return False
        if which == frames.GET_OK:
            self._tag, _ = frames.numbered(payload)
            self.isReceiving = True
            return True
        if which == frames.GET_EMPTY:
            self.found, empty = None, self.empty
            empty()
            return True
        return False

    def receive(self, kind: int, payload: bytes) -> None:
        """Take what comes of a message in pieces."""
        if kind == frames.HEADER:
            self._left, self._headers = frames.content(payload)
            self._parts = []
        else:
            self._parts.append(payload)
            self._left -= len(payload)
        if self._left <= 0:
            self._end()

    def _end(self) -> None:
        self.isReceiving = False
        parts, self._parts = self._parts, []
        headers, self._headers = self._headers, None
        found, self.found = self.found, None
        assert found is not None
        assert headers is not None
        found(self._tag, headers, parts[0] if len(parts) == 1 else b"".join(parts))
