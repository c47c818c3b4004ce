"""Machines that are not clean: clocks that jump, and deaths where nobody expects them.

A home is opened, and swept, in processes that kill themselves at a given place or
after a random time, again and again; then a server is started on it.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime
from random import Random
from signal import SIGKILL, SIGUSR2
from time import monotonic, time

from twisted.trial.unittest import SynchronousTestCase

from memq.storage.engine.binding import StoreSettings
from memq.test.support.homes import dump, opened
from memq.test.support.servers import started
from memq.test.support.torture import report, rounds
from testkit.servers import PATIENCE, runToEnd

#: A year in seconds, about.
YEAR = 365.25 * 86400
#: Those of the stores in which processes die.
SETTINGS = StoreSettings(logFile=4 << 20)

#: Has the clock of the machine jump to what a file says, on SIGUSR2, and tells by that
#: clock when the upkeep did what.
JUMPING_CLOCK = """
import signal, time
timeOfDay, jumped = time.time, [0.0]
time.time = lambda: timeOfDay() + jumped[0]
def jump(number, frame):
    with open({path!r}) as file:
        jumped[0] = float(file.read())
signal.signal(signal.SIGUSR2, jump)
from memq.storage.bdb.store import BDBStore
from memq.storage.engine.environment import Environment
def told(owner, name):
    method = getattr(owner, name)
    def tell(self, *arguments):
        print(name, "in", time.gmtime(time.time()).tm_year, flush=True)
        return method(self, *arguments)
    setattr(owner, name, tell)
told(BDBStore, "freeBytes")
for name in "checkpoint", "trickle", "flush":
    told(Environment, name)
"""


class ClockTests(SynchronousTestCase):
    """The clock of the machine is set while a server runs."""

    def test_jumps(self) -> None:
        """Ten years back or on: the upkeep goes on, and so does everything else."""
        path = os.path.abspath(self.mktemp())
        options = ("--no-sync", "--checkpoint", "0.3", "--trickle", "0.3")
        server = started(self, *options, before=JUMPING_CLOCK.format(path=path))
        began = monotonic()
        bodies = []
        for years in (-10, 10, -1):
            with open(path, "w", encoding="ascii") as file:
                file.write(str(years * YEAR))
            os.kill(server.pid, SIGUSR2)
            expected = time() + years * YEAR
            year = datetime.fromtimestamp(expected).year
            for work in ("freeBytes", "checkpoint", "trickle", "flush"):
                server.waitForLine(f"{work} in {year}")
            figures = server.figures()
            self.assertLess(abs(int(figures[b"time"]) - expected), PATIENCE)
            self.assertLessEqual(int(figures[b"uptime"]), monotonic() - began + 2)
            bodies.append(b"%3d" % years)
            server.put(b"q", bodies[-1])
        self.assertEqual(server.stop(), 0)
        server.start()
        self.assertEqual(server.take(b"q"), bodies)


#: Opens a home, and does something that it does not survive.
OPEN = """
import os, sys, threading, time
from memq.storage.bdb.store import BDBStore
from memq.storage.bdb.transaction import Transaction
from memq.storage.engine.binding import StoreSettings
from memq.storage.engine.environment import Environment
from memq.storage.datadir.home import Home
from memq.storage.bdb.compaction import Compaction
from memq.storage.engine import environment
from memq.storage.datadir import home
from memq.storage.engine import verification
def die():
    os.kill(os.getpid(), 9)
def dieAt(owner, name, call=1, after=False):
    method, calls = getattr(owner, name), []
    def dying(*arguments):
        calls.append(name)
        if len(calls) == call and not after:
            die()
        result = method(*arguments)
        if len(calls) == call:
            die()
        return result
    setattr(owner, name, dying)
def dieIn(seconds):
    def sleepAndDie():
        time.sleep(seconds)
        die()
    threading.Thread(target=sleepAndDie).start()
place = Home(sys.argv[1])
place.prepare()
store = BDBStore(place, StoreSettings(logFile=4 << 20))
{how}
store.open()
print("open", flush=True)
{then}
"""

#: Where a start can die, from its first step to the last.
PLACES = [
    "dieAt(environment, 'verifyLog', after=True)",
    "dieAt(verification, 'readMarker')",
    "dieAt(Environment, 'openTable', 1)",
    "dieAt(Environment, 'openTable', 2)",
    "dieAt(Compaction, 'open', after=True)",
    "dieAt(BDBStore, '_load', after=True)",
    "dieAt(environment, 'writeMarker')",
    "dieAt(environment, 'writeMarker', after=True)",
    "dieAt(Compaction, 'findStrays')",
]
NEW_PLACES = [*PLACES, "dieAt(home, 'replaceFile')", "dieAt(home, 'replaceFile', 1, 1)"]


class DeathCase(SynchronousTestCase):
    """Has a home in which processes die."""

    def setUp(self) -> None:
        """Name it."""
        self.home = os.path.abspath(self.mktemp())

    def die(self, how: str = "", then: str = "dieIn(0)") -> bool:
        """Open the home in a process that kills itself.

        :param how: what brings that about, before the home is opened.
        :param then: or afterwards.
        :return: whether it was opened before.
        """
        program = OPEN.format(how=how, then=then)
        ended = runToEnd(sys.executable, "-c", program, self.home)
        self.assertEqual(ended.returncode, -SIGKILL, ended.stderr)
        return ended.stdout == "open\n"

    def contents(self) -> str:
        """Return what is in the home."""
        with opened(self.home, SETTINGS) as store:
            return dump(store)


class RecoveryTests(DeathCase):
    """The process before died while it opened the home."""

    def leave(self) -> str:
        """Leave a home as a killed server does; return what is in it."""
        pushes = (
            "for number in range(40):\n"
            "    store.begin()\n"
            "    for each in range(20):\n"
            "        store.push(b'q%d' % (each % 7), number, b'%d ' % each * 4000)\n"
            "    store.pop(b'q3')\n"
            "    store.delete(b'q6')\n"
            "    store.commit()\n"
            "store.flush()\n"
            "die()"
        )
        self.assertTrue(self.die(then=pushes))
        lines = []
        for queue in range(6):
            each = range(queue, 20, 7)
            taken = 40 if queue == 3 else 0
            lines.append(f"q{queue} {40 * len(each)}/{taken}")
            bodies = [(flags, one) for flags in range(40) for one in each]
            lines += [
                f"  {sequence} {flags} {b'%d ' % one * 4000!r}"
                for sequence, (flags, one) in list(enumerate(bodies))[taken:]
            ]
        return "\n".join(lines)

    def test_places(self) -> None:
        """It died at any step, one after the other: all is there."""
        expected = self.leave()
        for place in PLACES:
            self.assertFalse(self.die(place), place)
        self.assertEqual(self.contents(), expected)

    def test_newHome(self) -> None:
        """It died at any step in a new home: that is as good as new."""
        for place in NEW_PLACES:
            self.assertFalse(self.die(place), place)
        self.assertEqual(self.contents(), "")

    def test_anyMoment(self) -> None:
        """It died at any moment, while Berkeley DB recovered too: all is there."""
        deaths = early = 0
        for _ in rounds(2):
            seed = int.from_bytes(os.urandom(4), "big")
            random = Random(seed)
            self.home = os.path.abspath(self.mktemp())
            expected = self.leave()
            for _ in range(4):
                deaths += 1
                early += not self.die(
                    f"dieIn({random.uniform(0, 0.15)})", "time.sleep(1)"
                )
            self.assertEqual(self.contents(), expected, f"seed {seed}")
        report("deaths while opening", deaths=deaths, before=early)


class SweepTests(DeathCase):
    """The process before died while it removed a long deleted queue."""

    FILL = (
        "def fill(queue, count):\n"
        "    store.begin()\n"
        "    for number in range(count):\n"
        "        store.push(queue, 0, b'%5d' % number * 600)\n"
        "    store.commit()\n"
    )

    def delete(self) -> None:
        """Delete a queue of 2000 messages, set one of that name, and die sweeping."""
        then = (
            f"{self.FILL}"
            "fill(b'long', 2000)\n"
            "fill(b'other', 3)\n"
            "store.begin(); store.pop(b'other')\n"
            "store.delete(b'long'); store.commit()\n"
            "fill(b'long', 2)\n"
            "store.checkpoint()\n"
            "store.sweep(100)\n"
            "store.flush()\n"
            "dieAt(Transaction, 'commit')\n"
            "store.sweep(100)"
        )
        self.assertTrue(self.die(then=then))

    def size(self) -> int:
        """Return the bytes of the file of the messages."""
        return os.stat(os.path.join(self.home, "memq", "messages")).st_size

    def test_again(self) -> None:
        """Each start goes on with it, and what is not deleted does not notice."""
        self.delete()
        expected = self.contents()
        self.assertIn("long 2/0\n  0 0 b'    0", expected)
        self.assertIn("other 3/1\n  1 0 b'    1", expected)
        for call, after in ((1, False), (1, True), (3, False), (2, True)):
            then = (
                "assert store.status()['queues_being_removed'] == 1\n"
                f"dieAt(Transaction, 'commit', {call}, {after})\n"
                "while store.sweep(100): store.flush()"
            )
            self.assertTrue(self.die(then=then))
        with opened(self.home, SETTINGS) as store:
            self.assertEqual(store.status()["queues_being_removed"], 1)
            while store.sweep(100):
                pass
            self.assertEqual(store.status()["queues_being_removed"], 0)
            self.assertEqual(dump(store), expected)

    def test_server(self) -> None:
        """A server goes on with it by itself, and its room is used again."""
        self.delete()
        size = self.size()
        server = started(self, home=self.home)
        end = monotonic() + PATIENCE
        while server.figures()[b"queues_being_removed"] != b"0":
            self.assertLess(monotonic(), end)
        self.assertEqual(server.counts(), {b"long": (2, 0), b"other": (3, 1)})
        self.assertEqual(server.stop(), 0)
        then = f"{self.FILL}fill(b'new', 1900)\nstore.checkpoint()\ndie()"
        self.assertTrue(self.die(then=then))
        self.assertLess(self.size(), size * 1.05)
