"""Fake exchanges: bindings that a cluster keeps, and the queues of who listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.rabbitmq.shared.news import FROM, NEWS
from memq.rabbitmq.shared.pauses import SOME

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeExchanges:
    """Exchanges of news and pauses.

    :ivar bindings: the exchanges and keys that are bound.
    :ivar listeners: what takes a message of each queue: the exchange and key that it
        was published to, its properties and its body.
    """

    def __init__(self) -> None:
        self.bindings: set[tuple[str, str]] = set()
        self.listeners: dict[str, Callable[[str, str, Any, bytes], object]] = {}

    def publish(self, exchange: str, key: str, properties: Any, body: bytes) -> bool:
        """Hand a message on; return whether anybody has it."""
        if exchange == NEWS:
            queues = list(self.listeners)
        else:
            isBound = (exchange, key) in self.bindings
            if exchange == SOME:
                isBound = any(each == SOME for each, _ in self.bindings)
            queues = [properties.headers[FROM]] if isBound else []
        for queue in queues:
            self.listeners[queue](exchange, key, properties, body)
        return bool(queues)
