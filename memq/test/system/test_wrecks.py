"""Anything may happen to any file: nothing is lost without a word.

Each round damages a home in one random way.  The replies and refusals then, and what
--skip-damaged makes of it, have to fit what was there.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
from functools import partial
from signal import SIGABRT, SIGALRM, SIGKILL, SIGSEGV
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from memq.display import shownName
from memq.errors import DamagedHome, StoreFailed, UnusableHome
from memq.test.support.disks.wrecks import (
    Contents,
    closedHome,
    contents,
    flip,
    skipping,
    snapshot,
    take,
)
from memq.test.support.homes import BDBTestCase, opened, push, storeAt
from memq.test.support.torture import report, rounds, told

if TYPE_CHECKING:
    from collections.abc import Callable

#: Deaths of a process in which Berkeley DB is beside itself; its seconds at most.
DEATHS = (SIGABRT, SIGALRM, SIGSEGV)
SECONDS = 30

#: Words that clients are told in the place of messages that are damaged or gone.
TOLD = re.compile("has lost messages|damaged message")


def flipByte(chance: random.Random, path: str) -> None:
    """Flip a bit, or a whole byte."""
    flip(path, chance.randrange(os.path.getsize(path)), chance.choice([1, 128, 255]))


def wipe(chance: random.Random, path: str) -> None:
    """Put zeros or noise into a page."""
    page = chance.randrange(-(-os.path.getsize(path) // 4096)) * 4096
    size = min(4096, os.path.getsize(path) - page)
    with open(path, "r+b") as file:
        file.seek(page)
        file.write(chance.choice([bytes(size), chance.randbytes(size)]))


def cut(chance: random.Random, path: str) -> None:
    """Cut a file short."""
    os.truncate(path, chance.randrange(os.path.getsize(path)))


def append(chance: random.Random, path: str) -> None:
    """Append noise."""
    with open(path, "ab") as file:
        file.write(chance.randbytes(chance.randrange(1, 9000)))


def remove(chance: random.Random, path: str) -> None:
    """Remove a file."""
    os.unlink(path)


WAYS: list[Callable[[random.Random, str], None]] = [flipByte, wipe, cut, append, remove]


class WreckTests(BDBTestCase):
    """A home that was closed, and one that was killed, damaged at random."""

    def setUp(self) -> None:
        """Make both."""
        self.closed = os.path.abspath(self.mktemp())
        was = closedHome(self.closed)
        self.homes = {
            kind: os.path.abspath(self.mktemp()) for kind in ("closed", "killed")
        }
        with opened(self.closed) as store:
            push(store, b"a", 1, *[b"after %d" % n for n in range(300)])
            push(store, b"c", 1, *[b"c" * 3000] * 600)
            take(store, b"b", 20)
            self.was = {"closed": was, "killed": contents(store)}
            snapshot(store, self.homes["killed"])
        shutil.rmtree(self.closed)
        closedHome(self.homes["closed"])

    def test_anyDamage(self) -> None:
        """Messages that are there are right; missing ones are listed or refused."""
        names = ("rounds", "refused", "failed", "told", "whole", "behind", "died")
        figures: dict[str, Any] = dict.fromkeys(names, 0)
        seed = random.randrange(1 << 32)
        for number in rounds(2 * len(WAYS)):
            figures["rounds"] += 1
            with told(f"seed {seed}, round {number}"):
                chance = random.Random(f"{seed} {number}")
                way = WAYS[number % len(WAYS)]
                figures[inChild(partial(self.round, chance, way))] += 1
        report("damage at random", seed=seed, **figures)
        self.assertLessEqual(figures["died"], 1 + figures["rounds"] // 100)

    def round(
        self, chance: random.Random, spoil: Callable[[random.Random, str], None]
    ) -> str:
        """Damage a home, and look what comes of it; return that in a word."""
        kind = chance.choice(sorted(self.homes))
        was = self.was[kind]
        path = os.path.abspath(self.mktemp())
        shutil.copytree(self.homes[kind], path)
        folder = os.path.join(path, "memq")
        # The next log file may be there, empty.
        names = [n for n in sorted(os.listdir(folder)) if n != "lock"]
        names = [n for n in names if os.path.getsize(os.path.join(folder, n))]
        name = chance.choice(names)
        spoil(chance, os.path.join(path, "memq", name))
        second = os.path.abspath(self.mktemp())
        shutil.copytree(path, second)
        came = self.opened(path, was, mayBeBehind=name.startswith("log."))
        self.skipped(second, was, name)
        shutil.rmtree(path)
        shutil.rmtree(second)
        return came

    def opened(  # pragma: no cover - chance decides which lines are run
        self, path: str, was: Contents, mayBeBehind: bool
    ) -> str:
        """Open a home without the option; return what came of it."""
        told: list[str] = []
        try:
            store = storeAt(path)
        except (DamagedHome, UnusableHome):
            return "refused"
        try:
            store.open()
            found = contents(store, told)
        except (DamagedHome, UnusableHome):
            return "refused"
        except StoreFailed as error:
            self.assertEqual(error.status, 78, error)
            return "failed"
        finally:
            store.environment.letGo()
            store.home.release()
        if found == was:
            return "whole"
        # A log that is cut behind the marker is not told from one that was torn.
        if any(map(TOLD.search, told)):
            return "told"
        self.assertTrue(mayBeBehind, "messages are missing, and nobody says so")
        return "behind"

    def skipped(  # pragma: no cover - chance decides which lines are run
        self, path: str, was: Contents, name: str
    ) -> None:
        """Open a home with the option, and account for each message."""
        lines: list[str] = []
        try:
            store = skipping(path, lines)
        except UnusableHome:
            # VERSION may say that a newer memq wrote it.
            return
        try:
            store.open()
            found = contents(store)
        finally:
            store.environment.letGo()
            store.home.release()
        text = "\n".join(lines)
        if "UNREADABLE" in text:
            with open(os.path.join(path, "memq.damaged", "UNREADABLE")) as file:
                text = file.read()
        everything = {body for messages in was.values() for *_, body in messages}
        everything |= {b"d"}
        for queue, messages in found.items():
            self.assertEqual(messages, sorted(messages), queue)
            for _, _, body in messages:
                self.assertIn(body[:20], {each[:20] for each in everything} | TAKEN)
        for queue, messages in was.items():
            left = found.get(queue)
            if left is None:
                self.assertIn("queue", text)
                continue
            lost = len(set(messages) - set(left))
            shown = re.escape(shownName(queue))
            told = re.search(rf"queue {shown}: (\d+) of \d+ messages are mis", text)
            if lost and not name.startswith("log."):
                self.assertTrue(told or "may be wrong" in text, (queue, lost, text))


#: Bodies of messages that were taken; without a log they may come again.
TAKEN = {(b"a %d " % n * 12)[:20] for n in range(10)} | {
    (b"b %d " % n * 12)[:20] for n in range(20)
}


def inChild(work: Callable[[], str]) -> str:
    """Return what work returns that is done in a process of its own; died if that died.

    A page that is wiped out with zeros passes for a good one.  Where a recovery has to
    change such a page of a long body, Berkeley DB writes behind it (__db_big_recover);
    in the tree itself, it may search without an end.  A few of a thousand rounds do so.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        said = "broken off"
        try:
            said = work()
        except BaseException as error:  # pragma: no cover - in the other process
            said = f"failed: {error!r}"
        finally:
            os.write(writer, said.encode())
            os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8", errors="replace") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in DEATHS:
        return "died"
    assert status == 0 and said.isalpha(), f"{said} (status {status})"
    return said


class ChildTests(SynchronousTestCase):
    """Work in a process of its own."""

    def test_done(self) -> None:
        """The child's result is returned."""
        self.assertEqual(inChild(lambda: "whole"), "whole")

    def test_failed(self) -> None:
        """The child's exception is told."""
        error = self.assertRaises(AssertionError, inChild, lambda: "" + 5)  # type: ignore[operator]
        self.assertIn("TypeError", str(error))

    def test_killed(self) -> None:
        """So is the signal that it dies of."""
        error = self.assertRaises(AssertionError, inChild, partial(die, SIGKILL))
        self.assertIn("(status 9)", str(error))
        self.assertEqual(inChild(partial(die, SIGABRT)), "died")


def die(number: int) -> str:  # pragma: no cover - nobody is left to tell
    """Let a signal end this process."""
    os.kill(os.getpid(), number)
    return "alive"
