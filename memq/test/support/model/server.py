"""The clients of the model's server: how they wait, what they have open, and the clock.

Each client has an inbox of *operations*, what its commands consist of.  All that can
run is run in rounds: one client after the other, each until its inbox is empty or a
read has to wait; clients that wait for a message of a round are first in the next one.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from math import inf
from operator import itemgetter
from typing import Any, Protocol

from memq.test.support.model.queues import READS, Item, Queues

END = b"END\r\n"


@dataclass(eq=False)
class Opened:
    """An open read.

    :ivar until: when it goes back by itself.
    """

    item: Item
    until: float


class Operation(Protocol):
    """Something that a client waits for.

    :ivar outlives: whether it is carried out though the client is gone.
    """

    @property
    def outlives(self) -> bool: ...  # noqa: D102

    def run(self, server: Server, client: Client) -> bytes | None:
        """Carry it out; return what is answered, None if it has to wait."""


@dataclass(eq=False)
class Client:
    """A connection.

    :ivar reads: its open reads of each queue, the oldest first.
    :ivar ticket: its place in a line, None if it stands in none.
    :ivar untils: the queues that its read waits for, and until when.
    :ivar isHurried: whether no read of it waits any more.
    :ivar mayBeCut: whether it was shown a body in parts that may have gone meanwhile.
    """

    inbox: list[Operation] = field(default_factory=list)
    said: bytes = b""
    reads: dict[bytes, list[Opened]] = field(default_factory=dict)
    ticket: int | None = None
    untils: dict[bytes, float] = field(default_factory=dict)
    isHurried: bool = False
    mayBeCut: bool = False

    @property
    def waits(self) -> bool:
        """Whether it stands in a line."""
        return bool(self.inbox) and self.ticket is not None

    def ended(self, name: bytes, opened: Opened) -> None:
        """Have something open no more.

        When a client leaves, the queue goes first of which it has had some for longest:
        that is no promise, but shows where their dead letters meet.
        """
        self.reads[name].remove(opened)
        if not self.reads[name]:
            del self.reads[name]

    def forget(self) -> None:
        """Stand nowhere."""
        self.ticket = None
        self.untils.clear()


def place(client: Client) -> int:
    """Return the place of a client that waits: who came first has the smaller one."""
    assert client.ticket is not None
    return client.ticket


class Server:
    """A server.

    :ivar lines: who waits for a queue, in order.
    :ivar isStopping: whether it is about to end, and nothing moves any more.
    """

    def __init__(self, now: float) -> None:
        self.queues = Queues(now)
        self.isStopping = False
        self.clients: dict[int, Client] = {}
        self.lines: dict[bytes, list[Client]] = {}
        self._tickets = 0
        self._round: list[Client] = []
        #: Those who were woken and did not try yet.
        self._woken: list[Client] = []

    # Open reads.

    def open(self, client: Client, name: bytes) -> Item | None:
        """Hide the head."""
        item = self.queues.hide(name)
        if item is not None:
            # One of a queue that is gone may have its number.
            for before in self.meant(client, name, item.number):
                client.reads[name].remove(before)
            opened = Opened(item, self._until(name))
            client.reads.setdefault(name, []).append(opened)
        return item

    def _until(self, name: bytes, seconds: float = 0.0) -> float:
        """Return when something goes back that is opened or touched now."""
        timeout = seconds or self.queues.rule(name).get("open_timeout") or inf
        return self.queues.now + float(timeout)

    def meant(self, client: Client, name: bytes, number: int | None) -> list[Opened]:
        """Return the open read of a number, or all without one."""
        reads = client.reads.get(name, [])
        return [each for each in reads if number in (None, each.item.number)]

    def hasMost(self, client: Client, name: bytes) -> bool:
        """Tell whether a client has as many open as it may."""
        most = self.queues.rule(name).get("max_open") or inf
        return len(client.reads.get(name, [])) >= most

    def close(
        self, client: Client, name: bytes, most: int = 1, number: int | None = None
    ) -> bool:
        """Delete what is open, the oldest first; tell whether there was any."""
        ended = False
        for opened in self.meant(client, name, number)[:most]:
            client.ended(name, opened)
            ended |= self.queues.isOpen(name, opened.item)
            self.queues.close(name, opened.item)
        return ended

    def abort(
        self, client: Client, name: bytes, number: int | None = None, delay: int = 0
    ) -> bool:
        """Give back all that is open, or one; tell whether there was any."""
        ended = False
        for opened in self.meant(client, name, number):
            client.ended(name, opened)
            ended |= self.queues.isOpen(name, opened.item)
            self.queues.giveBack(name, opened.item, delay)
        return ended

    def touch(self, client: Client, name: bytes, number: int, seconds: int) -> bool:
        """Let an open read last longer; tell whether there is such a one."""
        there = False
        for opened in self.meant(client, name, number):
            if self.queues.isOpen(name, opened.item):
                opened.until = self._until(name, seconds)
                there = True
            else:
                client.reads[name].remove(opened)
        return there

    # Waiting.

    def isBehind(self, client: Client, name: bytes) -> bool:
        """Tell whether somebody else who came first waits, or is about to try."""
        mine = inf if client.ticket is None else client.ticket
        others = [*self.lines.get(name, []), *self._woken]
        return any(name in each.untils and place(each) < mine for each in others)

    def wait(self, client: Client, seconds: dict[bytes, float]) -> None:
        """Let a client stand in lines: at their ends, or where it was.

        :param seconds: for each queue that it asks for; as long as it may yet wait.
        """
        if client.ticket is None:
            self._tickets += 1
            client.ticket = self._tickets
            now = self.queues.now
            client.untils = {name: now + each for name, each in seconds.items()}
        for name in client.untils:
            insort(self.lines.setdefault(name, []), client, key=place)

    def _leaveLines(self, client: Client) -> None:
        for name in list(self.lines):
            self._leaveLine(client, name)

    def _leaveLine(self, client: Client, name: bytes) -> None:
        line = self.lines[name]
        if client in line:
            line.remove(client)
        if not line:
            del self.lines[name]

    def send(self, number: int, operations: list[Operation]) -> None:
        """Let a client ask for something, and everything happen that follows."""
        client = self.clients.setdefault(number, Client())
        client.inbox += operations
        if not client.waits:
            self._round.append(client)
        self.settle()

    def settle(self) -> None:
        """Run all that can."""
        self._wake()
        while self._round:
            clients, self._round = self._round, []
            for client in clients:
                self._run(client)
            self._wake()

    def _run(self, client: Client) -> None:
        if client in self._woken:
            self._woken.remove(client)
        while client.inbox:
            reply = client.inbox[0].run(self, client)
            if reply is None:
                return
            client.said += reply
            client.inbox.pop(0)
            client.forget()

    def _wake(self) -> None:
        """Let as many try as there are messages."""
        for name in list(self.lines):
            if self.queues.isPaused(name, READS) or self.queues.head(name) is None:
                continue
            line = self.lines.get(name, [])
            for client in line[: len(self.queues.find(name).ready)]:
                self._leaveLines(client)
                self._woken.append(client)
        self._woken.sort(key=place)
        self._round[:0] = self._woken

    def wakeAll(self) -> None:
        """Let all try who wait: other rules hold, and some may have an error now."""
        for client in self.clients.values():
            if client.waits:
                self._leaveLines(client)
                self._woken.append(client)
        self.settle()

    def leave(self, number: int, operations: list[Operation] | None = None) -> None:
        """Let a client be gone: what it asks does not count, what it changes does.

        :param operations: what it asked for just before, of which nothing is answered.
        """
        client = self.clients.pop(number, Client())
        self._leaveLines(client)
        client.forget()
        inbox = [*client.inbox, *(operations or [])]
        client.inbox = [each for each in inbox if each.outlives]
        self._run(client)
        for name in list(client.reads):
            self.abort(client, name)
        self.settle()

    # Time.

    def _events(self) -> list[tuple[float, Any]]:
        """Return what happens by itself, and when."""
        found: list[tuple[float, Any]] = []
        for queue in self.queues.named.values():
            for due, _ in queue.delayed[:1]:
                found.append((due / 1000, (self.queues.ripen, due)))
        for client in self.clients.values():
            for name, until in client.untils.items():
                found.append((until, (self._endWait, client, name)))
            for name, reads in client.reads.items():
                for opened in reads:
                    call = (self._overdue, client, name, opened)
                    found.append((opened.until, call))
        return found

    def reach(self, now: float) -> None:
        """Let time pass up to a moment, and all happen in its order."""
        while True:
            events = [event for event in self._events() if event[0] <= now]
            if not events:
                break
            at, (call, *arguments) = min(events, key=itemgetter(0))
            self.queues.now = max(self.queues.now, at)
            call(*arguments)
            self.settle()
        self.queues.now = now

    def _endWait(self, client: Client, name: bytes) -> None:
        """Wait for one queue no longer; if that was the last one, go on."""
        self._leaveLine(client, name)
        del client.untils[name]
        if not client.untils:
            client.said += END
            client.inbox.pop(0)
            client.forget()
            self._round.append(client)

    def _overdue(self, client: Client, name: bytes, opened: Opened) -> None:
        client.ended(name, opened)
        self.queues.giveBack(name, opened.item)

    # Ends.

    def stop(self) -> None:
        """Stop in order: nobody waits any more."""
        self.isStopping = True
        waiting = [each for each in self.clients.values() if each.waits]
        for client in sorted(waiting, key=place):
            client.isHurried = True
            for name in list(client.untils):
                self._endWait(client, name)
        self.settle()

    def crash(self) -> None:
        """End; what is open is there again, and nobody is connected."""
        self.isStopping = False
        self.clients.clear()
        self.lines.clear()
        self.queues.crash()
