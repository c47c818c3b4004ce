"""Homes and stores on them for tests: one way to open, crash and reopen a home."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from memq.storage.bdb.store import BDBStore
from memq.storage.datadir.home import Home
from memq.storage.engine.binding import StoreSettings, db
from memq.storage.packed import MOST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memq.figures import QueueDetail
    from memq.message import Message

#: Each queue by name: set, taken, flags and bodies of what waits.
Queues = dict[bytes, tuple[int, int, list[tuple[int, bytes]]]]

#: Where files cost least, if there is such a place: of what is not about a disk.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
#: For small homes, where each message has a record of its own: tests count these.
SMALL = StoreSettings(
    cacheSize=1024 * 1024, logFile=1024 * 1024, logBuffer=65536, leastPacked=MOST + 1
)
#: The same, where messages share records as they do in a server, or all small ones do.
SHARED = SMALL._replace(leastPacked=StoreSettings().leastPacked)
PACKED = SMALL._replace(leastPacked=1)


def storeAt(path: str, settings: StoreSettings = SMALL) -> BDBStore:
    """Return a store on the home at ``path``, held, not open."""
    home = Home(path)
    home.prepare()
    return BDBStore(home, settings)


@contextmanager
def opened(path: str, settings: StoreSettings = SMALL) -> Iterator[BDBStore]:
    """Give an open store on the home at ``path``, which is closed in the end."""
    store = storeAt(path, settings)
    try:
        store.open()
        yield store
        store.close()
    finally:
        store.home.release()


def crashed(store: Any, path: str) -> BDBStore:
    """Return an open store on a copy of another's files, as a crash leaves them."""
    shutil.copytree(store.home.path, path)
    copy = storeAt(path)
    copy.open()
    return copy


def contents(path: str, name: str = "memq") -> dict[str, bytes]:
    """Return what is in the files of the home at ``path``, but for the lock."""
    found = {}
    with os.scandir(os.path.join(path, name)) as entries:
        for entry in entries:
            if entry.name != "lock":
                with open(entry.path, "rb") as file:
                    found[entry.name] = file.read()
    return found


@contextmanager
def withoutRoom() -> Iterator[None]:
    """Let writes to any file fail, as on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def push(store: Any, queue: bytes, flags: int, *bodies: bytes) -> None:
    """Append messages in one transaction."""
    store.begin()
    for body in bodies:
        store.push(queue, flags, body)
    store.commit()


def dump(store: Any) -> str:
    """Return what is in a store as text: a line a queue, then its messages.

    It takes the messages out in a transaction that it undoes.
    """
    lines = []
    store.begin()
    for name, pushed, taken in store.counts():
        lines.append(f"{name.decode('latin-1')} {pushed}/{taken}")
        while (message := store.pop(name)) is not None:
            lines.append(f"  {message.sequence} {message.flags} {message.body!r}")
    # Delayed messages come in the order of their times.
    for name in store.promoteDue((1 << 47) - 1, 1 << 30):
        message = store.pop(name)
        lines.append(f"  later {name.decode()} {message.flags} {message.body!r}")
    store.abort()
    return "\n".join(lines)


def bodyOf(store: Any, message: Message) -> bytes:
    """Return the body of a message that was popped."""
    large = message.large
    if large is None:
        return message.body
    return b"".join([store.part(large.id, number) for number in range(large.parts)])


def queues(store: Any) -> Queues:
    """Return everything that clients could get, without changing it."""
    found: Queues = {}
    store.begin()
    for name, pushed, taken in list(store.counts()):
        messages = iter(partial(store.pop, name), None)
        bodies = [(each.flags, bodyOf(store, each)) for each in messages]
        found[name] = pushed, taken, bodies
    store.abort()
    return found


def details(store: Any) -> list[QueueDetail]:
    """Return the details of all queues, sorted by name."""
    return [store.detail(name) for name, _, _ in store.counts()]


class BDBTestCase(SynchronousTestCase):
    """Has stores on homes of its own."""

    settings = SMALL

    def makeStore(self, settings: StoreSettings | None = None) -> BDBStore:
        """Return a store on a new home, not open."""
        return self.storeAt(os.path.abspath(self.mktemp()), settings)

    def storeAt(self, path: str, settings: StoreSettings | None = None) -> BDBStore:
        """Return a store on the home at ``path``, closed when the test ends."""
        store = storeAt(path, settings or self.settings)
        self.addCleanup(store.home.release)
        self.addCleanup(store.close)
        return store

    def openStore(self, settings: StoreSettings | None = None) -> BDBStore:
        """Return an open store on a new home."""
        store = self.makeStore(settings)
        store.open()
        return store

    def reopened(self, store: BDBStore) -> BDBStore:
        """Return a store on the same home, opened after this one was closed."""
        store.close()
        store.home.release()
        again = self.storeAt(store.home.path)
        again.open()
        return again

    def crashed(self, store: BDBStore) -> BDBStore:
        """Return what a restart finds when this store's process is killed now."""
        copy = crashed(store, os.path.abspath(self.mktemp()))
        self.addCleanup(copy.home.release)
        self.addCleanup(copy.close)
        return copy

    def fill(self, store: BDBStore, queue: bytes, *bodies: bytes) -> None:
        """Append messages in one transaction."""
        push(store, queue, 0, *bodies)


def raising(error: Exception) -> Callable[..., Any]:
    """Return a function that raises an error, whatever it is given."""

    def fail(*arguments: object) -> None:
        raise error

    return fail


def refusing(code: int) -> Callable[..., Any]:
    """Return a function that fails as the system does, with the path it is given."""

    def fail(*arguments: object) -> None:
        paths = [each for each in arguments[:1] if isinstance(each, str)]
        raise OSError(code, os.strerror(code), *paths)

    return fail


class Failing:
    """Stands before an object of the binding, and fails where it is told to."""

    def __init__(self, real: Any, error: Exception, *names: str) -> None:
        """Raise ``error`` when a method of these ``names`` is called."""
        self._real = real
        self._error = error
        self._names = names

    def __getattr__(self, name: str) -> Any:
        """Return the method, or one that fails."""
        return self._fail if name in self._names else getattr(self._real, name)

    def _fail(self, *arguments: object) -> None:
        raise self._error


NO_SPACE = db.DBError(errno.ENOSPC, "No space left on device")
NO_MEMORY = MemoryError(errno.ENOMEM, "BDB3017 unable to allocate space")
BROKEN = db.DBError(errno.EIO, "Input/output error")
PANIC = db.DBRunRecoveryError(-30973, "BDB0060 PANIC: fatal region error")
DEADLOCK = db.DBLockDeadlockError(-30993, "Locker killed to resolve a deadlock")
