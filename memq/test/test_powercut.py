"""What a power cut leaves, shown from the system calls of real servers.

Nothing is told to a client before the log that covers it is synced.  And on whatever
a disk may have then of what was not synced (:mod:`memq.test.disk`), memq starts and has
all that it told; with --no-sync, all that it told before the last sync began.
"""

from __future__ import annotations

import os
import re
import shutil
from bisect import bisect_right
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from memq import ahead
from memq.bdb import BDBStore
from memq.environment import StoreSettings
from memq.errors import QueueError, StartError
from memq.home import Home
from memq.test.disk import Disk
from memq.test.logfile import Log, TracedLog
from memq.test.powerload import Client, Command, State, mismatch
from memq.test.systemcalls import TracedServer, moments
from memq.test.torture import report, rounds

if TYPE_CHECKING:
    from memq.message import Message
    from memq.test.systemcalls import Call

KILOBYTE = 1024
#: Bytes of log files in these tests, and what a turn logs at most.
LOG_FILE = 256 * KILOBYTE
TRANSACTION = 2 * LOG_FILE
#: What makes everything happen within a second that takes megabytes and minutes else.
SMALL = f"""
from memq import ahead, sizes, survey, upkeep
sizes.MEGABYTE = {LOG_FILE}
sizes.LOG_FILES = 0
sizes.CHECKPOINT_VOLUME = {3 * LOG_FILE}
upkeep.WATCH_INTERVAL = 0.05
upkeep.QUIET_VOLUME = {LOG_FILE}
ahead.BUSY = {LOG_FILE // 8}
ahead.TRANSACTION = {TRANSACTION}
ahead.FILES = 5
survey.LEAST_SIZE = {100 * KILOBYTE}
survey.INTERVAL = 0.05
survey.PAUSE = 0.1
survey.Survey.pause.__defaults__ = (0.1,)
survey.WALK_SHARE = 1
"""
#: Less cache than messages, so that pages are written whenever one is needed.
OPTIONS = (
    *("--log-buffer", "32", "--cache-size", "1", "--trickle", "0.05"),
    *("--checkpoint", "1", "--enable-flush-all"),
)
SETTINGS = StoreSettings(
    cacheSize=1024 * KILOBYTE, logBuffer=32 * KILOBYTE, logFile=LOG_FILE
)
#: A server that tells before it has synced.
HASTY = """
from memq.environment import Environment
Environment.flush = lambda self: None
"""
#: How many power cuts a trace is tried with, and one of a start after a power cut.
CUTS = 60
LATER_CUTS = 30
#: A share of them is at the beginning and at the end, in so many moments.
EDGE = 160
#: What is looked for in the log: messages, queues that are deleted, tombstones.
TOKENS = re.compile(rb"[\x01\x02]\xe7\x5c..|gone\d*-\d\d|\0deleted....", re.DOTALL)


class Run:
    """A traced server and its clients."""

    def __init__(
        self,
        path: str,
        random: Random,
        *options: str,
        before: str = "",
        queues: dict[bytes, State] | None = None,
        salt: int = 0,
    ) -> None:
        """Start it.

        :param path: of its home; the trace goes beside it.
        :param before: Python that breaks something.
        :param queues: what is in the home.
        """
        self._random = random
        self._moves = 0
        self.folder = os.path.join(path, "memq")
        #: What was there before.
        self.files = readFiles(self.folder)
        self.server = TracedServer(
            path, path + ".trace", *OPTIONS, *options, before=SMALL + before
        )
        self.server.start()
        self.clients = [
            Client(self.server, number, queues or {}, salt) for number in range(4)
        ]
        self.calls: list[Call] = []

    def load(self, batches: int) -> None:
        """Set, get and delete, on all connections at once; the first one waits."""
        random = self._random
        for _ in range(batches):
            for client in self.clients:
                # What is set and deleted in one turn leaves no trace in the log.
                gone = [name for name in client.queues if name.startswith(b"gone")]
                for name in gone[:1]:
                    client.delete(name)
                most = 1 if client is self.clients[0] else random.choice((1, 5, 20))
                for _ in range(most):
                    self._one(client)
            for client in self.clients:
                client.answered()

    def _one(self, client: Client) -> None:
        random = self._random
        queue = client.queue(random.choice((b"a", b"b", b"c")))
        act = random.random()
        if act < 0.6:
            client.set(queue, random.choice((16, 100, 100, 400, 1500, 5000)))
        elif act < 0.96:
            client.get(queue)
        elif act < 0.97:
            client.set(queue, random.choice((70, 150)) * KILOBYTE)
        else:
            name = client.queue(b"gone%d" % len(client.commands))
            for _ in range(random.randint(1, 8)):
                client.set(name, 300)

    def drain(self) -> None:
        """Get nearly all that is there, and see the rest move to another file."""
        for client in self.clients:
            for name, (pushed, taken, messages) in client.queues.items():
                if name.startswith(b"gone"):
                    client.delete(name)
                    continue
                large = [
                    n for n, (_, body) in enumerate(messages, 1) if len(body) > 400
                ]
                for _ in range(max([pushed - taken - 2, *large])):
                    client.get(name)
                client.answered()
            client.answered()
        self._moves += 1
        self.server.waitForLine("bytes of a drained file are given back", self._moves)

    def flushAll(self) -> None:
        """Empty all queues of all clients."""
        command = Command(b"flush_all")
        self.clients[0].ask(command)
        for client in self.clients[1:]:
            client.overtake(command)
        self.clients[0].answered()

    def stop(self) -> None:
        """Stop the server in order, and read what it did."""
        self.end()
        self.calls = self.server.calls()

    def end(self) -> None:
        """End it, if that was not done."""
        for client in self.clients:
            client.close()
        self.server.stop()


def early(run: Run) -> list[bytes]:
    """Return the commands that were answered before what covers them was synced."""
    traced = TracedLog(run.calls, run.files)
    log = Log(traced.files, TOKENS)
    found = []
    for client in run.clients:
        told = client.told(run.calls)
        for moment, command, took in zip(
            told, client.commands, client.taken, strict=True
        ):
            if command.verb == b"set":
                end = log.firstCommit(*_tokens(command.flags))
            elif took is not None:
                end = log.lastCommit(*_tokens(took))
            elif command.verb == b"delete":
                end = log.lastCommit(command.queue)
            elif command.verb == b"flush_all":
                end = log.firstCommit(log.newest(b"\0deleted"))
            else:
                continue
            if traced.safeAt(end) > moment:
                found.append(command.verb)
    return found


def _tokens(flags: int) -> list[bytes]:
    """Return what the record of a message may begin with."""
    return [bytes([version]) + flags.to_bytes(4, "big") for version in (1, 2)]


def readFiles(folder: str) -> dict[str, bytes]:
    """Return the files in a directory, none if there is no such directory."""
    found = {}
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        with open(os.path.join(folder, name), "rb") as file:
            found[name] = file.read()
    return found


def writeFiles(path: str, files: dict[str, bytes]) -> str:
    """Make a home of files, in the place of what was there; return its path."""
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(os.path.join(path, "memq"))
    for name, content in files.items():
        with open(os.path.join(path, "memq", name), "wb") as file:
            file.write(content)
    return path


def readQueues(path: str, later: bytes) -> dict[bytes, State]:
    """Return what a start finds in a home, and leave it there; then lose power again.

    :param later: a queue that gets a message after that.
    """
    home = Home(path)
    home.prepare()
    store: Any = BDBStore(home, SETTINGS)
    try:
        store.open()
        store.begin()
        found = {
            name: (pushed, taken, tuple(_messages(store, name)))
            for name, pushed, taken in store.counts()
        }
        store.abort()
        store.begin()
        store.push(later, 0, b"")
        store.commit()
        store.flush()
    finally:
        store._environment.letGo()
        home.release()
    for name, (pushed, taken, messages) in found.items():
        assert pushed - taken == len(messages), f"{name!r} is not as long as it says"
    return found


def _messages(store: Any, queue: bytes) -> list[tuple[int, bytes]]:
    messages = []
    while (message := store.pop(queue)) is not None:
        messages.append((message.flags, _body(store, message)))
    return messages


def _body(store: Any, message: Message) -> bytes:
    if message.large is None:
        return message.body
    parts = range(message.large.parts)
    return b"".join(store.part(message.large.id, number) for number in parts)


class PowerCuts:
    """Power cuts at any moment of a run that is over."""

    def __init__(self, run: Run, path: str, seed: int, *, noSync: bool) -> None:
        """Read what the clients were told.

        :param path: of the homes that are made.
        """
        self._run = run
        self._path = path
        self._seed = seed
        self._noSync = noSync
        self._told = [client.told(run.calls) for client in run.clients]
        self._moments = list(moments(run.calls))
        self._first = next(
            number
            for number, (_, call) in enumerate(self._moments)
            if os.path.dirname(call.path) == run.folder
        )
        self._disk = Disk(run.folder, strict=True, files=run.files)
        self._at = 0

    def choose(self, random: Random, count: int) -> list[int]:
        """Return where to cut, in order."""
        first, last = self._first, len(self._moments) - 1
        ranges = [
            (first, last),
            (first, last),
            (first, first + EDGE),
            (last - EDGE, last),
        ]
        return sorted(random.randint(*random.choice(ranges)) for _ in range(count))

    def after(self, number: int) -> dict[str, bytes]:
        """Return what may be left after so many moments; they only go on."""
        for moment, call in self._moments[self._at : number]:
            self._disk.take(moment, call)
        self._at = number
        return self._disk.afterCut(Random(f"{self._seed} {number}"))

    def try_(self, number: int) -> str:
        """Cut there and start; return what is not as it should be."""
        files = self.after(number)
        try:
            found = readQueues(writeFiles(self._path, files), b"later")
            wrong = self._wrong(number, found)
            if number % 4 == 0 and not wrong:
                again = readQueues(self._path, b"later still")
                assert again == {**found, b"later": (1, 0, ((0, b""),))}
        except (AssertionError, QueueError, StartError) as error:
            wrong = f"{type(error).__name__}: {error}"
        if wrong:
            kept = writeFiles(f"{self._path}-{number}", files)
            call = self._moments[number - 1][1]
            wrong = f"cut {number} of {self._seed}, {call.name}, see {kept}: {wrong}"
        return wrong

    def _wrong(self, number: int, found: dict[bytes, State]) -> str:
        moment = self._disk.synced if self._noSync else self._moments[number - 1][0]
        wrong = (
            mismatch(client, bisect_right(told, moment), found)
            for client, told in zip(self._run.clients, self._told, strict=True)
        )
        return "; ".join(filter(None, wrong))


class PowerCutTests(SynchronousTestCase):
    """Real servers, whose power goes at any moment."""

    def setUp(self) -> None:
        """Let stores in this process need no more names than those of the servers."""
        self.patch(ahead, "TRANSACTION", TRANSACTION)
        self.seed = SystemRandom().randrange(1 << 32)
        self.random = Random(self.seed)

    def run_(self, path: str, *options: str, **more: Any) -> Run:
        """Return a run that ends with the test."""
        run = Run(path, self.random, *options, **more)
        self.addCleanup(run.end)
        return run

    def loaded(self, *options: str, before: str = "") -> Run:
        """Return a run with everything in it, from a new home to a stop."""
        run = self.run_(os.path.abspath(self.mktemp()), *options, before=before)
        for _ in range(2):
            run.load(12)
            run.drain()
        run.load(6)
        run.flushAll()
        run.stop()
        return run

    def cutPower(self, run: Run, count: int, *, noSync: bool = False) -> None:
        """Cut the power at many moments of a run."""
        cuts = PowerCuts(run, os.path.abspath(self.mktemp()), self.seed, noSync=noSync)
        for number in cuts.choose(self.random, count):
            self.assertEqual(cuts.try_(number), "")

    def startedAgain(self, run: Run, *options: str) -> Run:
        """Return a run on what a power cut in another one may leave."""
        path = os.path.abspath(self.mktemp())
        cuts = PowerCuts(run, path, self.seed, noSync=False)
        files = cuts.after(cuts.choose(self.random, 3)[-1])
        queues = readQueues(writeFiles(path, files), b"later")
        again = self.run_(writeFiles(path, files), *options, queues=queues, salt=1)
        again.load(3)
        again.stop()
        return again

    def trace(self, name: str, *options: str, noSync: bool = False) -> None:
        """Cut the power of servers, and of those that start after that."""
        traces = 0
        for _ in rounds(1):
            run = self.loaded(*options)
            again = self.startedAgain(run, *options)
            if not noSync:
                self.assertEqual(early(run) + early(again), [])
            self.cutPower(run, CUTS, noSync=noSync)
            self.cutPower(again, LATER_CUTS, noSync=noSync)
            traces += 2
        report(name, traces=traces, cuts=traces * (CUTS + LATER_CUTS) // 2)

    def test_synced(self) -> None:
        """What was answered was synced, and is there whenever the power goes."""
        self.trace("power cuts, synced")

    def test_noSync(self) -> None:
        """With --no-sync, what was answered before the last sync is there."""
        self.trace("power cuts, --no-sync", "--no-sync", noSync=True)

    def test_hasty(self) -> None:
        """A server that answers without a sync is found out, and loses messages."""
        run = self.loaded(before=HASTY)
        self.assertEqual({*early(run)}, {b"set", b"get", b"delete", b"flush_all"})
        cuts = PowerCuts(run, os.path.abspath(self.mktemp()), self.seed, noSync=False)
        count = len(run.calls)
        wrong = list(map(cuts.try_, range(count, 2 * count, count // 20)))
        self.assertIn("answers: ", max(wrong, key=len))

    def test_refused(self) -> None:
        """A start that is refused is found out, and what it was on is kept."""
        run = self.run_(os.path.abspath(self.mktemp()))
        run.stop()
        path = os.path.abspath(self.mktemp())
        cuts = PowerCuts(run, path, self.seed, noSync=False)
        damaged = {"VERSION": b"1\n", "safe": b"not a marker"}
        self.patch(cuts, "after", lambda number: damaged)
        self.assertIn(f"see {path}-9: HomeError: ", cuts.try_(9))
        self.assertEqual(readFiles(f"{path}-9/memq"), damaged)

    def test_disk(self) -> None:
        """The disk that is told all calls has the files that are there at the end."""
        run = self.run_(os.path.abspath(self.mktemp()))
        run.load(6)
        run.stop()
        disk = Disk(run.folder, strict=True, files=run.files)
        for moment, call in moments(run.calls):
            disk.take(moment, call)
        files = {name: bytes(file.now) for name, file in disk.names.items()}
        self.assertEqual(files, readFiles(run.folder))
