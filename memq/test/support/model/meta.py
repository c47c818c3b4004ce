"""Commands of the model that are said in the meta protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from memq.test.support.model.commands import PART, Set, Setting, Simple

if TYPE_CHECKING:
    from memq.test.support.model.server import Client, Operation, Server


@dataclass(frozen=True)
class MetaSet(Set):
    """A set; quiet with ``noreply``."""

    def wire(self) -> bytes:
        """Return line and body."""
        key = self.queue + b"/delay=%d" % self.delay * bool(self.delay)
        line = b"ms %b %d F%d T%d" % (key, self.size, self.flags, self.exptime)
        line += b" s O%d" % self.mark + b" q" * self.noreply
        return line + b"\r\n" + self.body + b"\r\n"

    def operations(self, server: Server) -> list[Operation]:
        """Return a set that is answered in the same protocol."""
        if self.size <= PART:
            return [MetaSetting(self, None)]
        return [MetaSetting(self, server.queues.destinations(self.queue))]


@dataclass(frozen=True)
class MetaSetting(Setting):
    """A set that is carried out."""

    def run(self, server: Server, client: Client) -> bytes:
        """Store it; an error is told, quiet or not."""
        reply, what = self._store(server), self.what
        echo = b" s%d O%d\r\n" % (what.size, what.mark)
        if reply == b"STORED\r\n":
            return b"" if what.noreply else b"HD" + echo
        return b"NS" + echo if reply == b"NOT_STORED\r\n" else reply


@dataclass(frozen=True)
class MetaGet(Simple):
    """A get of one queue, or a look at its next message.

    :ivar takes: which of these.
    """

    queue: bytes
    takes: bool
    isQuiet: bool

    def wire(self) -> bytes:
        """Return the line."""
        line = b"mg %b k c f h s" % self.queue
        return line + b" v" * self.takes + b" q" * self.isQuiet + b"\r\n"

    def run(self, server: Server, client: Client) -> bytes:
        """Take the head, or look."""
        queues = server.queues
        item = (queues.take if self.takes else queues.head)(self.queue)
        if item is None:
            return b"" if self.isQuiet else b"EN k%b\r\n" % self.queue
        size = len(item.body)
        flags = b" k%b c%d f%d h%d s%d\r\n" % (
            *(self.queue, item.number, item.flags, item.deliveries, size),
        )
        if not self.takes:
            return b"HD" + flags
        return b"VA %d%b%b\r\n" % (size, flags, item.body)
