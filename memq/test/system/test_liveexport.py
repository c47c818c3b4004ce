"""Exports beside a real server under load: each is one state.

Each token stands in exactly one queue at any moment, however the server moves it: by a
move, a redrive, a reader that gives it back too often, or one that gives it back for
later.  What a fan-out copies is in each of its queues; what is flushed goes at once.
"""

from __future__ import annotations

import io
import os
import random
import sys
import threading
from collections import Counter
from time import monotonic
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from memq.admin.exportformat import Begin, Body, QueueBegin, parseLine
from memq.admin.importer import Import
from memq.cli import main
from memq.ratelimit import Progress
from memq.storage.bdb.store import BDBStore
from memq.storage.datadir.home import Home
from memq.test.support.homes import SMALL
from memq.test.support.servers import started
from testkit.servers import PATIENCE, Server
from testkit.wire import sets

TOKENS = [b"token %d " % number + b"x" * (number % 7 * 50) for number in range(300)]
RULES = """
[queue.a]
max_deliveries = 2
dead_letter = "dead"
[queue.all]
fanout = ["left", "right"]
"""


class Load:
    """Clients that move tokens about, until they are stopped.

    :ivar numbered: how many messages the last of them has set to ``all`` and ``waste``.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stop = threading.Event()
        self.errors: list[BaseException] = []
        self.numbered = 0
        self._threads = [
            threading.Thread(target=self._run, args=[work])
            for work in (self._move, self._open, self._later, self._copy)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, work: Any) -> None:
        try:
            with self._server.wire() as client:
                while not self._stop.is_set():
                    work(client)
        except BaseException as error:  # pragma: no cover - when the test fails
            self.errors.append(error)

    def _move(self, client: Any) -> None:
        for line in (b"move a b 40", b"move b a 50", b"redrive dead 20"):
            assert client.ask(line).startswith(b"MOVED "), line

    def _open(self, client: Any) -> None:
        client.send(b"get a/open\r\nget a/abort\r\n")
        client.value()
        client.value()

    def _later(self, client: Any) -> None:
        client.send(b"get b/open\r\nget b/abort/delay=1\r\n")
        client.value()
        client.value()

    def _copy(self, client: Any) -> None:
        self.numbered += 1
        client.send(sets(b"all", b"%d" % self.numbered))
        client.send(sets(b"waste", b"%d" % self.numbered))
        assert [client.line(), client.line()] == [b"STORED"] * 2
        if self.numbered % 50 == 0:
            assert client.ask(b"flush waste") == b"END"

    def stop(self) -> None:
        """End all of them."""
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        assert not self.errors, self.errors


def queuesOf(text: bytes) -> dict[bytes, list[bytes]]:
    """Return the bodies of each queue of an export."""
    found: dict[bytes, list[bytes]] = {}
    queue: list[bytes] = []
    for each in io.BytesIO(text):
        line = parseLine(each)
        if isinstance(line, QueueBegin):
            queue = found[line.queue] = []
        elif isinstance(line, Body):
            queue.append(line.body)
    return found


def notOne(queues: dict[bytes, list[bytes]]) -> list[str]:
    """Return why queues are no one state, as far as that can be told."""
    wrong = []
    tokens = Counter(body for name in (b"a", b"b", b"dead") for body in queues[name])
    if tokens != Counter(TOKENS):
        wrong.append(f"tokens: {tokens - Counter(TOKENS)}, {Counter(TOKENS) - tokens}")
    if queues[b"left"] != queues[b"right"]:
        wrong.append("copies")
    numbers = list(map(int, queues[b"left"]))
    if numbers != list(range(1, len(numbers) + 1)):
        wrong.append("numbers")
    waste = list(map(int, queues[b"waste"]))
    last = len(numbers)
    if waste != list(range(last - len(waste) + 1, last + 1)) and (
        # The set to waste comes behind that to all.
        waste != list(range(last - len(waste), last))
    ):
        wrong.append(f"waste: {waste[:1]} to {waste[-1:]} of {last}")
    return wrong


class LiveExportTests(SynchronousTestCase):
    """What is exported beside a server."""

    def setUp(self) -> None:
        """Start a server with rules, and let it have all tokens."""
        self.patch(sys, "stderr", io.StringIO())
        rules = os.path.abspath(self.mktemp())
        with open(rules, "w") as file:
            file.write(RULES)
        self.server = started(self, "--config", rules)
        half = len(TOKENS) // 2
        self.server.put(b"a", *TOKENS[:half])
        self.server.put(b"b", *TOKENS[half:])
        self.server.put(b"dead", b"no token")
        self.server.take(b"dead")
        for queue in (b"left", b"right", b"waste"):
            self.server.ask(b"pause %b" % queue, b"resume %b" % queue)

    def export(self) -> bytes:
        """Return an export."""
        path = os.path.abspath(self.mktemp())
        self.assertEqual(
            main(["export", "--home", self.server.home, "--output", path]), 0
        )
        with open(path, "rb") as file:
            return file.read()

    def test_oneState(self) -> None:
        """Whatever goes on, each is one state, with all that was acknowledged."""
        load = Load(self.server)
        self.addCleanup(load.stop)
        seed = random.randrange(1 << 30)
        some = random.Random(seed)
        for _ in range(4):
            threading.Event().wait(some.random() / 5)
            before = load.numbered - 1
            queues = queuesOf(self.export())
            self.assertEqual(notOne(queues), [], f"seed {seed}")
            self.assertGreaterEqual(len(queues[b"left"]), before)
        late = monotonic() + PATIENCE
        while load.numbered == before + 1 and monotonic() < late:
            threading.Event().wait(0.01)  # pragma: no cover - when it is slow
        load.stop()

    def test_twoStates(self) -> None:
        """An export put together of two states is found out."""
        self.assertEqual(self.server.ask(b"move b a"), b"MOVED 150\r\n")
        first = queuesOf(self.export())
        self.assertEqual(notOne(first), [])
        self.server.put(b"all", b"1")
        self.server.put(b"waste", b"1", b"2")
        self.assertEqual(self.server.ask(b"move a b 7"), b"MOVED 7\r\n")
        second = queuesOf(self.export())
        for name, words in (
            (b"b", "tokens"),
            (b"left", "copies"),
            (b"waste", "waste"),
        ):
            found = notOne({**first, name: second[name]})
            self.assertEqual([each[: len(words)] for each in found][:1], [words])
        second[b"left"] = second[b"right"] = [b"2"]
        self.assertIn("numbers", notOne(second))

    def test_thereAndBack(self) -> None:
        """It is imported, and exported again, as the same bytes but the first line."""
        self.server.ask(b"get a/open", b"get a/abort", b"get a/open", b"get a/abort")
        self.server.ask(b"set b/delay=1000 7 0 1", b"x", b"pause b reads")
        text = self.export()
        first, rest = text.split(b"\n", 1)
        self.assertEqual(parseLine(first + b"\n"), Begin(live=True))
        self.assertIn(b'"origin"', rest)
        self.assertIn(b'"due"', rest)
        home = Home(os.path.abspath(self.mktemp()))
        home.prepare()
        store = BDBStore(home, SMALL)
        store.open()
        Import(store, False, Progress(lambda line: None)).run(io.BytesIO(text))
        store.close()
        home.release()
        path = os.path.abspath(self.mktemp())
        self.assertEqual(main(["export", "--home", home.path, "--output", path]), 0)
        with open(path, "rb") as file:
            self.assertEqual(file.read().split(b"\n", 1)[1], rest)
