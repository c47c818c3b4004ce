"""What a reply is made of: what renders it, and what is sent a piece at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from memq.operations.reads import Read, Taken

if TYPE_CHECKING:
    from memq.operations.base import Operation

#: Makes the reply of what an operation has found.
Render = Callable[[Any], bytes]

#: What a message came from, and is told what became of it.
Source = Read | Taken


class Held:
    """The source of a body in parts, all of which are written before they arrive."""

    __slots__ = ("_leaving", "_source")

    def __init__(self, source: Any, leaving: list[Source]) -> None:
        """Take the place of a source.

        :param leaving: gets it when the last part is written.
        """
        self._source: Source = source
        self._leaving = leaving

    def sent(self) -> None:
        """Note that all of it is written."""
        self._source.leaves()
        self._leaving.append(self._source)

    def damaged(self) -> None:
        """Note that a part is damaged."""
        self._source.damaged()

    def unsent(self) -> None:
        """Note that not all of it will be written."""
        self._source.unsent()


class ValueInParts(Protocol):
    """A message whose body is being sent in parts.

    :ivar key: the name of its queue, as it was asked for.
    :ivar source: is told whether the message was sent.
    """

    key: bytes
    source: Read | Taken | Held

    @property
    def left(self) -> int:
        """Return how many bytes are to be sent, but for the last part and the end."""

    def send(self) -> bool:
        """Send as many parts as the client takes; return whether that was all."""

    def giveBack(self) -> None:
        """Put the message back: its reader is gone."""


class PartialGet(Protocol):
    """A get of many names, which is asked for a slice at a time."""

    @property
    def isOver(self) -> bool:
        """Return whether all was asked for."""

    def ask(self) -> tuple[Operation, Render]:
        """Ask for the next slice; return its operation, and what renders that."""
