"""A traced server and its clients, with everything in a second that else takes minutes.

Log files are small and change all the time, pages are written whenever one is needed,
and messages move to another file when most of them are gone.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from memq.test.support.disks.powerload import Client, Command
from testkit.systemcalls import TracedServer

if TYPE_CHECKING:
    from random import Random

    from memq.test.support.disks.powerload import State
    from testkit.systemcalls import Call

KILOBYTE = 1024
#: Bytes of log files in these tests, and what a turn logs at most.
LOG_FILE = 256 * KILOBYTE
TRANSACTION = 2 * LOG_FILE
#: Statements by which all that takes megabytes and minutes else happens in a second.
SMALL = f"""
from memq.storage.engine import preallocation as ahead
from memq.storage.datadir import sizing as sizes
from memq.storage import occupancy as survey
from memq.daemon import maintenance as upkeep
sizes.MEGABYTE = sizes.LEAST_LOG = {LOG_FILE}
sizes.LOG_FILES = 0
sizes.CHECKPOINT_VOLUME = {3 * LOG_FILE}
upkeep.WATCH_INTERVAL = 0.05
upkeep.QUIET_VOLUME = {LOG_FILE}
ahead.TRANSACTION = {TRANSACTION}
ahead.FILES = 5
sizes.LEAST_FILE = {100 * KILOBYTE}
survey.INTERVAL = 0.05
survey.PAUSE = 0.1
survey.Survey.pause.__defaults__ = (0.1,)
survey.WALK_SHARE = 1
"""
#: What the log says when they have moved.
MOVED = "bytes of a drained file are given back"
#: Less cache than messages, so that pages are written whenever one is needed.
OPTIONS = (
    *("--log-buffer", "32", "--cache-size", "1", "--trickle", "0.05"),
    *("--checkpoint", "1", "--enable-flush-all"),
)


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
        self.folder = os.path.join(path, "memq")
        #: Files that were there before.
        self.files = readFiles(self.folder)
        before = f"{SMALL}{before}"
        self.server = TracedServer(
            path, path + ".trace", *OPTIONS, *options, before=before
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
                # A queue set and deleted in one turn leaves no trace in the log.
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
        """Get nearly all that is there, and see the rest move to another file.

        The file is large enough for that, whenever messages moved before.
        """
        moves = self._moves()
        for client in self.clients:
            client.set(client.queue(b"a"), 150 * KILOBYTE)
            client.answered()
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
        self.server.waitForLine(MOVED, moves + 1)

    def _moves(self) -> int:
        """Return how often messages have moved to another file."""
        return sum(MOVED in line for line in self.server.log)

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


def readFiles(folder: str) -> dict[str, bytes]:
    """Return the files in a directory, none if there is no such directory."""
    found = {}
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        with open(os.path.join(folder, name), "rb") as file:
            found[name] = file.read()
    return found
