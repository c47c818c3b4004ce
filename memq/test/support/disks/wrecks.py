"""Homes with something in each kind of page, and what can become of them."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING, Any

from memq.admin.salvage import Salvage
from memq.errors import QueueError, StoreFailed
from memq.message import LargeBody, Message
from memq.storage.bdb.store import BDBStore
from memq.storage.datadir.home import Home
from memq.storage.engine.btreefile import TreeFile
from memq.test.support.homes import SMALL, bodyOf, opened, push

if TYPE_CHECKING:
    from memq.storage.engine.binding import StoreSettings

#: The types of pages.
INTERNAL, LEAF, OVERFLOW = 3, 5, 7

#: Sequence number, flags and body of each message of each queue.
Contents = dict[bytes, list[tuple[int, int, bytes]]]


def pushLarge(
    store: Any, queue: bytes, *parts: bytes, flags: int = 4, **rest: Any
) -> LargeBody:
    """Append a message in parts, and return where its body is."""
    store.begin()
    body = store.newBody()
    for number, part in enumerate(parts):
        store.addPart(body, number, part)
    large = LargeBody(body, sum(map(len, parts)), len(parts))
    store.pushLarge(queue, flags, large, **rest)
    store.commit()
    return large


def take(store: Any, queue: bytes, count: int) -> None:
    """Take messages out, in one transaction."""
    store.begin()
    for _ in range(count):
        store.pop(queue)
    store.commit()


def fill(store: Any) -> None:
    """Put something into an open store that leaves every kind of page."""
    for number in range(0, 300, 50):
        for name in (b"a", b"b"):
            bodies = [b"%b %d " % (name, number + n) * 12 for n in range(50)]
            push(store, name, 1, *bodies)
        push(store, b"long", 2, b"long %d " % number * 600, b"%d" % number * 2000)
    pushLarge(store, b"large", b"x" * 65536, b"y" * 65536, b"z" * 1000)
    pushLarge(store, b"large", b"X" * 65536, b"Y" * 100)
    take(store, b"a", 10)
    take(store, b"large", 1)
    store.begin()
    store.delete(b"none")
    store.push(b"deleted", 0, b"d")
    store.commit()
    store.begin()
    store.delete(b"deleted")
    store.commit()


def contents(store: Any, told: list[str] | None = None) -> Contents:
    """Return what is in a store, without changing it.

    :param told: gets what is told instead of messages.
    """
    told = [] if told is None else told
    found: Contents = {}
    store.begin()
    for name, _, _ in store.counts():
        messages = found[name] = []
        try:
            while (message := store.pop(name)) is not None:
                if isinstance(message, Message):
                    body = bodyOf(store, message)
                    messages.append((message.sequence, message.flags, body))
                else:  # pragma: no cover - chance decides what is damaged
                    told.append(str(message))
        except StoreFailed:  # pragma: no cover - chance decides what is damaged
            raise
        except QueueError as error:  # pragma: no cover - and so here
            told.append(str(error))
    store.abort()
    return found


def snapshot(store: Any, path: str) -> str:
    """Copy an open store's home as a kill would leave it."""
    store.flush()
    shutil.copytree(store.home.path, path)
    return path


def skipping(path: str, lines: list[str], settings: StoreSettings = SMALL) -> BDBStore:
    """Return a store that skips what is damaged; ``lines`` gets what is logged."""
    home = Home(path)
    home.prepare(skipDamaged=True)
    return BDBStore(home, settings, lines.append, Salvage(home, settings, lines.append))


def fileIn(home: str, name: str) -> str:
    """Return the path of a file of memq's in a home."""
    return os.path.join(home, "memq", name)


def pagesOf(path: str, kind: int) -> list[int]:
    """Return the numbers of the pages of a type."""
    table = TreeFile(path)
    numbers = [n for n in range(table.pages) if table.page(n)[25] == kind]
    table.close()
    return numbers


def flip(path: str, place: int, bits: int = 0xFF) -> None:
    """Flip bits of a byte of a file."""
    with open(path, "r+b", buffering=0) as file:
        (byte,) = os.pread(file.fileno(), 1, place)
        os.pwrite(file.fileno(), bytes([byte ^ bits]), place)


def spoil(path: str, value: bytes) -> int:
    """Flip the last byte of a value that ends so, in a table; return its page."""
    table = TreeFile(path)
    found = [
        (number, record.value, page)
        for number in pagesOf(path, LEAF)
        for page in [table.page(number)]
        for record in table.entries(number, page)
        if record.value is not None and record.value.endswith(value)
    ]
    table.close()
    number, whole, page = found[0]
    # There may be copies that are not in use any more.
    for copy in re.finditer(re.escape(whole), page):
        flip(path, number * table.pageSize + copy.end() - 1)
    return number


def closedHome(path: str, settings: StoreSettings = SMALL) -> Contents:
    """Make a home that was filled and closed; return what is in it."""
    with opened(path, settings) as store:
        fill(store)
        return contents(store)
