"""The mix: what clients ask for at random, all kinds of it at once.

A hundred queues of small messages, some of large ones, some whose messages are opened
and closed or given back, and some that are deleted again and again; single commands and
up to forty behind one another; one name and many; gets that wait.
"""

from __future__ import annotations

import os
from random import SystemRandom
from typing import TYPE_CHECKING

from testkit.workers import DeleteOne, GetSome, OpenSome, SetOne, exchange, gets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

    from testkit.ledger import Ledger
    from testkit.servers import Server
    from testkit.workers import Command

DELETED = [b"deleted%d" % number for number in range(5)]
#: Those that are read openly; the last one has large messages, too.
OPENED = [b"opened%d" % number for number in range(5)]
SMALL = [b"q%d" % number for number in range(100)] + DELETED + OPENED
LARGE = [b"large%d" % number for number in range(3)]
#: The most commands that are sent at once.
PIPELINE = 40


def newSeed() -> int:
    """Return a new seed, or MEMQ_TORTURE_SEED."""
    return int(os.environ.get("MEMQ_TORTURE_SEED") or SystemRandom().getrandbits(32))


class Mix:
    """The commands of one client; it is one producer."""

    def __init__(self, ledger: Ledger, rng: Random) -> None:
        self._ledger = ledger
        self._rng = rng
        self._producer = ledger.producer()

    def _names(self) -> list[bytes]:
        """Return up to forty names of queues, perhaps all the same."""
        rng = self._rng
        most = rng.randint(1, PIPELINE)
        return rng.choice([rng.choices(SMALL, k=most), [rng.choice(SMALL)] * most])

    def _set(self, queue: bytes, size: int) -> Command:
        return SetOne(self._ledger, queue, self._producer, size)

    def setOne(self) -> list[Command]:
        """Set a small message."""
        return [self._set(self._rng.choice(SMALL), self._rng.randrange(400))]

    def setMany(self) -> list[Command]:
        """Set small messages."""
        return [self._set(name, self._rng.randrange(1500)) for name in self._names()]

    def setLarge(self) -> list[Command]:
        """Set one or two messages of up to some MiB, most of them in parts."""
        rng = self._rng
        names = rng.choices([*LARGE, OPENED[-1]], k=rng.randint(1, 2))
        return [self._set(name, int(2 ** rng.uniform(12, 21.7))) for name in names]

    def getOne(self) -> list[Command]:
        """Get a small message."""
        return gets(self._ledger, [self._rng.choice(SMALL)])

    def getMany(self) -> list[Command]:
        """Get small messages."""
        return gets(self._ledger, self._names())

    def getNames(self) -> list[Command]:
        """Get from several queues at once."""
        return [GetSome(self._ledger, self._rng.sample(SMALL, 8))]

    def getLarge(self) -> list[Command]:
        """Get some large messages."""
        rng = self._rng
        return gets(self._ledger, [rng.choice(LARGE)] * rng.randint(1, 3))

    def getWaiting(self) -> list[Command]:
        """Wait for a small message, where some come and where none do."""
        rng = self._rng
        name = rng.choice([*OPENED, b"none"])
        wait = b"/t=%d" % rng.randrange(20)
        return [GetSome(self._ledger, [name], options=wait)]

    def openSome(self) -> list[Command]:
        """Open some messages one after the other, and close or return the last one."""
        rng = self._rng
        names = rng.choices(OPENED, k=rng.randint(1, 4))
        end = rng.choice([b"close", b"abort"])
        most = rng.randint(1, 6)
        return [
            OpenSome(self._ledger, name, rng.randint(1, most), end) for name in names
        ]

    def delete(self) -> list[Command]:
        """Set a few messages, get a few, and perhaps delete the queue, all at once."""
        rng = self._rng
        name = rng.choice(DELETED)
        sets = [self._set(name, rng.randrange(400)) for _ in range(rng.randrange(6))]
        deletes = [DeleteOne(self._ledger, name) for _ in range(rng.randrange(2))]
        few = gets(self._ledger, [name] * rng.randint(1, 3))
        return [*sets, *few, *deletes]


def plans(
    ledger: Ledger, rng: Callable[[str], Random]
) -> list[Callable[[], list[Command]]]:
    """Return what the clients do that are there at the same time.

    :param rng: returns what is random for one of them, by its name.
    """
    return [
        Mix(ledger, rng("one")).setOne,
        Mix(ledger, rng("many")).setMany,
        Mix(ledger, rng("large")).setLarge,
        Mix(ledger, rng("getOne")).getOne,
        Mix(ledger, rng("getMany")).getMany,
        Mix(ledger, rng("getNames")).getNames,
        Mix(ledger, rng("getLarge")).getLarge,
        Mix(ledger, rng("getWaiting")).getWaiting,
        Mix(ledger, rng("openSome")).openSome,
        Mix(ledger, rng("openOther")).openSome,
        Mix(ledger, rng("delete")).delete,
    ]


def drain(ledger: Ledger, server: Server, queues: Iterable[bytes]) -> None:
    """Take all out of some queues, as the only client, after the counts are known."""
    with server.wire() as wire:
        for queue in queues:
            # One more than there are has to give nothing.
            for left in range(ledger.waiting(queue) + 1, 0, -PIPELINE):
                exchange(wire, gets(ledger, [queue] * min(left, PIPELINE)))
            ledger.emptied(queue)
