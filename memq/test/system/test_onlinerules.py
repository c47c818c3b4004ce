"""Rules that are set online on real servers: kept whatever happens, and never half."""

from __future__ import annotations

import os
import re
from random import Random, SystemRandom

from twisted.trial.unittest import SynchronousTestCase

from memq.config.online import readTables
from memq.test.support.commandline import ended as commandEnded
from memq.test.support.commandline import launched
from memq.test.support.disks.disk import Disk
from memq.test.support.servers import ended, started
from memq.test.system.test_ruledservers import SET, RuledServerTestCase
from testkit.systemcalls import TracedServer, moments
from testkit.wire import END, found, readAll

OK = b"OK\r\n"
NAME = "rules.toml"


class OnlineTests(RuledServerTestCase):
    """Rules beside those of a file."""

    def test_restarts(self) -> None:
        """They are there after kill -9, and count more than those of the file."""
        self.reload("[queue.q]\nmax_items = 3\n")
        self.told(OK + OK, b"rule set q max_items 1", b"rule set r paused writes")
        self.kill()
        refused = b"NOT_STORED\r\n"
        self.told(b"STORED\r\n" + refused, SET % b"a", SET % b"b")
        self.told(refused, b"set r 0 0 1\r\nx")
        self.told(OK + b"STORED\r\n", b"rule unset q", SET % b"b")

    def test_reload(self) -> None:
        """A reload takes both files, or neither."""
        self.told(OK, b"rule set r dead_letter q")
        self.write('[queue.q]\ndead_letter = "r"\n')
        told = self.server.ask(b"reload")
        self.assertTrue(told.startswith(b"SERVER_ERROR " + self.server.home.encode()))
        self.assertIn(b'line 5: dead_letter = "q": a queue would hand on', told)
        self.reload("[queue.r]\nmax_items = 7\n")
        place = f"{self.path}:2".encode()
        online = f"{self.server.home}/memq/{NAME}:5".encode()
        self.told(
            b"STAT max_items 7 %b\r\nSTAT dead_letter q %b\r\n" % (place, online) + END,
            b"rule show r",
        )

    def test_locked(self) -> None:
        """What the file locks stays as it is."""
        self.reload("[queue.'q*']\nlocked = true\nmax_items = 1\n")
        why = f'max_items of "q*" is locked at {self.path}:3'.encode()
        self.told(b"SERVER_ERROR %b\r\n" % why, b"rule set *q max_items 9")
        self.told(b"STORED\r\nNOT_STORED\r\n", SET % b"a", SET % b"b")

    def test_wakes(self) -> None:
        """A client that waits gets its message when a rule is gone that paused."""
        self.told(OK, b"rule set q paused reads")
        self.told(b"STORED\r\n", SET % b"a")
        with self.server.connect() as waiting:
            waiting.sendall(b"get q/t=60000\r\nquit\r\n")
            self.told(OK, b"rule unset q paused")
            self.assertEqual(readAll(waiting), found(b"q/t=60000", b"a"))

    def test_mistake(self) -> None:
        """A start with a broken file is refused, and --skip-damaged sets it aside."""
        self.told(OK, b"rule set q max_items 1")
        self.server.stop()
        path = os.path.join(self.server.home, "memq", NAME)
        with open(path, "a", encoding="utf-8") as file:
            file.write("[queue.r]\nmax_items = -1\n")
        refused = ended(self.server.home, "--no-config")
        self.assertEqual(refused.returncode, 78, refused.stderr)
        self.assertEqual(refused.stderr.count("\n"), 1)
        self.assertIn(f"memq: {path} line 8: max_items = -1: must be", refused.stderr)
        server = started(self, "--skip-damaged", home=self.server.home)
        self.assertIn(f"{path}.damaged: ", server.waitForLine("goes on without it"))
        self.assertEqual(server.ask(b"rule list"), END)

    def test_backup(self) -> None:
        """A backup has them, and a server that starts on it as well."""
        self.told(OK, b"rule set q max_items 1")
        copy = self.server.home + ".copy"
        backup = "backup", "--home", self.server.home, copy
        self.assertEqual(commandEnded(launched(self.server, *backup)).status, 0)
        server = started(self, home=copy)
        self.assertEqual(server.ask(b"rule list"), b"STAT q max_items=1\r\n" + END)

    def test_memory(self) -> None:
        """Without a home they last as long as the server."""
        server = started(self, "--store", "memory", "--no-config")
        told = b"STAT max_items 1 memory\r\n" + END
        self.assertEqual(
            server.ask(b"rule set q max_items 1", b"rule show q"), OK + told
        )
        self.assertFalse(os.path.exists(server.home))


class MomentTests(SynchronousTestCase):
    """The end of a server, or of the power, at any moment."""

    def setUp(self) -> None:
        """Let a server change rules, and note each system call."""
        path = os.path.abspath(self.mktemp())
        server = TracedServer(path, path + ".trace")
        server.start()
        self.addCleanup(server.stop)
        folder = os.path.join(path, "memq")
        self.files: list[bytes | None] = [None]
        with server.connect() as client, client.makefile("rb") as replies:
            self.port = client.getsockname()[1]
            for line in (
                b"rule set q max_items 1",
                b"rule set r* dead_letter %b" % (b"d" * 200),
                b"rule set q max_items 2 paused reads",
                b"rule unset r*",
                b"rule unset q",
            ):
                client.sendall(line + b"\r\n")
                self.assertEqual(replies.readline(), OK)
                with open(os.path.join(folder, NAME), "rb") as file:
                    self.files.append(file.read())
        server.stop()
        self.calls = server.calls()
        self.disk = Disk(folder, strict=True, files={})

    def test_whole(self) -> None:
        """There is what was told, or what was asked for next, and nothing else."""
        random = Random(seed := SystemRandom().randrange(1 << 32))
        told = 0
        seen: set[tuple[bool, int]] = set()
        for number, (moment, call) in enumerate(moments(self.calls)):
            if call.peer == self.port and moment == call.began and call.data == OK:
                told += 1
            # Calls about other files leave it as it was, and take long to follow.
            if self.isAbout(call.strings, call.path):
                self.disk.take(moment, call)
            killed = self.disk.names.get(NAME)
            left = [None if killed is None else bytes(killed.now)]
            left += [self.disk.afterCut(random).get(NAME) for _ in range(8)]
            for content in left:
                self.assertIn(content, self.files[told : told + 2], (seed, number))
                seen.add((content == self.files[told], told))
        # Each change was seen, told and not told.
        self.assertEqual(told, len(self.files) - 1)
        self.assertEqual(len(seen), 2 * told + 1)
        for content in filter(None, self.files):
            readTables(NAME, content)

    @staticmethod
    def isAbout(strings: list[bytes], path: str) -> bool:
        """Return whether a call may be about the file, or its directory."""
        names = [path.encode(), *strings]
        ours = re.compile(rb"rules\.toml|/memq$|^/proc/self/fd/\d+$")
        return any(map(ours.search, names))
