"""The command memq."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import tempfile
from time import monotonic, time
from types import SimpleNamespace
from typing import Any

import memq.admin.cli
import memq.cli
import memq.config.file
from memq import __version__, ratelimit
from memq.cli import main
from memq.commandline import terminal
from memq.errors import HomeError
from memq.storage.bdb.store import BDBStore
from memq.storage.datadir.home import Home
from memq.test.admin.test_exporter import ExportTestCase
from memq.test.admin.test_importer import TWO, Q, packed
from memq.test.support.homes import NO_SPACE, Failing, dump, raising
from testkit.servers import PATIENCE, Server, environment

#: Defaults of a progress that tells or draws all.
DRAWS = (monotonic, 0.0, None)
RUN = "import sys; from memq.cli import run; sys.exit(run())"


class CommandTestCase(ExportTestCase):
    """Runs the command in this process."""

    def setUp(self) -> None:
        """Keep what is said."""
        super().setUp()
        self.said: list[str] = []
        self.patch(sys.stderr, "write", self.said.append)

    def path(self) -> str:
        """Return a place where nothing is."""
        path: str = self.mktemp()
        return os.path.abspath(path)

    def command(self, *words: str) -> tuple[int, str]:
        """Return the exit status of a command, and its lines on standard error."""
        self.said.clear()
        status = main(words)
        return status, "".join(self.said)

    def ended(self, expected: int, *words: str) -> str:
        """Return what a command says that ends with a status."""
        status, said = self.command(*words)
        self.assertEqual(status, expected)
        return said

    def closed(self, store: Any) -> str:
        """Close a store, and return the path of its home."""
        store.close()
        store.home.release()
        path: str = store.home.path
        return path

    def home(self) -> str:
        """Return a home with something in it."""
        store = self.openStore()
        self.fill(store, b"q", b"1", b"2")
        self.fill(store, b"\xff", b"3")
        return self.closed(store)

    def dumpOf(self, path: str) -> str:
        """Return what is in a home."""
        store = self.storeAt(path)
        store.open()
        text = dump(store)
        self.closed(store)
        return text

    def written(self, text: bytes) -> str:
        """Return a file with something in it."""
        path = self.path()
        with open(path, "wb") as file:
            file.write(text)
        return path


class CommandTests(CommandTestCase):
    """Results of the three commands."""

    def test_thereAndBack(self) -> None:
        """Queues exported from one home are imported into another one."""
        home, file, other = self.home(), self.path(), self.path()
        self.assertEqual(
            self.command("export", "--home", home, "--output", file),
            (0, "memq export: exported 2 queues, 3 messages, 0.0 MB\n"),
        )
        self.assertEqual(
            self.command("import", "--home", other, file),
            (0, "memq import: imported 2 queues, 3 messages\n"),
        )
        self.assertEqual(self.dumpOf(other), self.dumpOf(home))

    def test_backup(self) -> None:
        """A backup is a home with the same in it."""
        home, target = self.home(), self.path()
        said = self.ended(0, "backup", "--home", home, target)
        self.assertIn(f"memq backup: {target} is a copy of {home}, ready", said)
        self.assertEqual(self.dumpOf(target), self.dumpOf(home))
        self.assertNotIn("metrics", said)
        noted = Home(home).lastBackup()
        assert noted is not None
        self.assertLess(abs(noted - time()), 60)
        self.assertIsNone(Home(target).lastBackup())

    def test_backupIsNotNoted(self) -> None:
        """A backup is one, whether or not metrics can tell of it."""
        home, target = self.home(), self.path()
        os.mkdir(os.path.join(home, "memq", "backup.new"))
        said = self.ended(0, "backup", "--home", home, target)
        self.assertIn(f"memq backup: {target} is a copy of {home}, ready", said)
        self.assertIn("memq backup: metrics do not tell of this backup: ", said)

    def test_oneQueue(self) -> None:
        """A queue is named as its bytes are."""
        home, file = self.home(), self.path()
        name = os.fsdecode(b"\xff")
        said = self.ended(0, "export", "--home", home, "--output", file, name)
        self.assertIn("exported 1 queue, ", said)
        said = self.ended(1, "export", "--home", home, "--output", file, "nope")
        self.assertEqual(said, f"memq export: --home {home}: there is no queue nope\n")

    def test_append(self) -> None:
        """A queue that has messages is appended to when that is asked for."""
        home, file = self.home(), self.written(packed(*TWO))
        said = self.ended(1, "import", "--home", home, file)
        self.assertEqual(
            said,
            "memq import: only 0 queues, 0 messages are imported\n"
            "memq import: line 2: queue q is there and has messages; "
            "with --append these are appended\n",
        )
        self.ended(0, "import", "--home", home, "--append", file)
        self.assertIn("q 4/0", self.dumpOf(home))

    def test_damaged(self) -> None:
        """When something could not be read, the status says so."""
        store: Any = self.openStore()
        self.fill(store, b"q", b"1")
        store.transaction.messages.put(b"\0\0\0\1" + bytes(8), b"rotten")
        home = self.closed(store)
        said = self.ended(1, "export", "--home", home, "--output", self.path())
        self.assertIn("queue q: message 0 cannot be read", said)

    def test_cut(self) -> None:
        """Messages that were imported before the file ended too early are told."""
        other = self.path()
        file = self.written(packed(*TWO)[:-60_000])
        said = self.ended(1, "import", "--home", other, file)
        self.assertEqual(
            said,
            "memq import: only 1 queues, 2 messages are imported\n"
            "memq import: line 8: it is cut\n",
        )
        self.assertIn(Q, self.dumpOf(other))

    def test_owner(self) -> None:
        """Root becomes the owner of the home, if it is there."""
        became: list[Any] = []
        self.patch(os, "seteuid", became.append)
        self.patch(os, "setegid", became.append)
        home = self.home()
        owner = os.stat(home)
        other, file = self.path(), self.path()
        for user, expected in ((0, [owner.st_gid, owner.st_uid]), (1000, [])):
            self.patch(os, "geteuid", lambda user=user: user)
            self.command("export", "--home", home, "--output", file)
            self.assertEqual(became, expected)
            became.clear()
        self.patch(os, "geteuid", lambda: 0)
        self.command("import", "--home", other, file)
        self.assertEqual(became, [])

    def test_oneself(self) -> None:
        """Beside a server root is root again: its files are not the owner's."""
        became: list[Any] = []
        self.patch(os, "seteuid", became.append)
        self.patch(os, "setegid", became.append)
        home = Home(self.home())
        home.prepare()
        self.addCleanup(home.release)
        self.patch(os, "geteuid", lambda: os.getuid() + 1)
        self.ended(0, "export", "--home", home.path, "--output", self.path())
        self.assertEqual(became, [os.getuid(), os.getgid()])

    def copiedTo(self, *words: str, output: bool = True) -> str:
        """Export a home that is held, with options; return where its copy was made."""
        places: list[str] = []

        def copy(home: Home, place: str, progress: object) -> Any:
            places.append(place)
            raise HomeError("no")

        self.patch(memq.admin.cli, "copied", copy)
        home = Home(self.home())
        home.prepare()
        self.addCleanup(home.release)
        self.assertIn("no", self.ended(1, "export", "--home", home.path, *words))
        return places[0]

    def test_temporary(self) -> None:
        """A copy is made beside the output, if that is a file, or where one says."""
        file = self.path()
        beside = os.path.dirname(file)
        self.assertEqual(self.copiedTo("--output", file), beside)
        self.assertEqual(self.copiedTo("--output", file, "--temporary", "/x"), "/x")
        self.assertEqual(self.copiedTo("--output", "/dev/null"), tempfile.gettempdir())
        self.assertEqual(self.copiedTo(), tempfile.gettempdir())

    def test_noTemporary(self) -> None:
        """A place for the copy that is none is named, and a queue that is none, too."""
        home = Home(self.home())
        home.prepare()
        self.addCleanup(home.release)
        words = "export", "--home", home.path, "--output", self.path()
        said = self.ended(1, *words, "--temporary", "/none")
        self.assertIn("--temporary /none: No such file or directory\n", said)
        said = self.ended(1, *words, "nope")
        self.assertIn(f"--home {home.path}: there is no queue nope\n", said)

    def test_bar(self) -> None:
        """On a terminal a bar is drawn that goes in the end."""
        drawn: list[str] = []

        class Bar:
            """Keeps what is drawn."""

            def draw(self, words: str, part: float | None) -> None:
                drawn.append(words)

            def stop(self) -> None:
                drawn.append("stop")

        self.patch(terminal, "Bar", Bar)
        self.patch(terminal, "isTerminal", lambda stream: True)
        self.patch(ratelimit.Progress.__init__, "__defaults__", DRAWS)
        said = self.ended(0, "backup", "--home", self.home(), self.path())
        self.assertNotIn("of about", said)
        self.assertIn("of about", drawn[0])
        self.assertEqual(drawn[-1], "stop")

    def test_storeCannotClose(self) -> None:
        """Why an import ends is told, not what else goes wrong then."""

        class Full(BDBStore):
            """A store on a disk that is full."""

            def open(self) -> None:
                """Open, and fail from now on."""
                super().open()
                transaction = self.transaction
                environment: Any = self.environment
                transaction.messages = Failing(transaction.messages, NO_SPACE, "put")
                environment.handle = Failing(
                    environment.handle, NO_SPACE, "txn_checkpoint"
                )

        self.patch(memq.admin.cli, "BDBStore", Full)
        file = self.written(packed(*TWO))
        said = self.ended(1, "import", "--home", self.path(), file)
        self.assertEqual(said.splitlines()[-1], "memq import: out of disk space")


class ConfigTests(CommandTestCase):
    """The home that a configuration file names."""

    def refused(self, *words: str) -> str:
        """Return why nothing is exported."""
        return self.ended(1, "export", "--output", self.path(), *words)

    def missing(self, path: str) -> str:
        """Return what is said when no home is at a path."""
        return f"memq export: --home {path}: there is no home of memq's\n"

    def test_home(self) -> None:
        """Without --home it is the file's, or else the default."""
        default = self.path()
        self.patch(memq.config.file, "DEFAULT", default)
        self.patch(memq.admin.cli, "DEFAULT_HOME", "/none/default")
        self.assertEqual(self.refused(), self.missing("/none/default"))
        with open(default, "w") as file:
            file.write('[server]\nhome = "/none/file"\n')
        self.assertEqual(self.refused(), self.missing("/none/file"))
        named = self.written(b"[server]\nport = 1\n")
        self.assertEqual(self.refused("--config", named), self.missing("/none/default"))
        self.assertEqual(
            self.refused("--config", named, "--home", "/none/line"),
            self.missing("/none/line"),
        )

    def test_cluster(self) -> None:
        """A front end of a cluster has no home."""
        path = self.written(b'[server]\nstore = "rabbitmq"\n')
        self.assertEqual(
            self.refused("--config", path),
            f'memq export: {path}: store = "rabbitmq": its queues are on a cluster, in '
            "no home; memq import --server and memq pop go by a front end\n",
        )

    def test_mistake(self) -> None:
        """A mistake in the file is one line, unless nobody has to read it."""
        path = self.written(b"[server]\nhome = 1\n")
        refused = f"memq export: {path} line 2: home = 1: must be a path, in quotes\n"
        self.assertEqual(self.refused("--config", path), refused)
        self.assertEqual(self.refused("--config", path, "--home=/h"), refused)
        self.patch(memq.config.file, "DEFAULT", path)
        self.assertEqual(self.refused(), refused)
        self.assertEqual(self.refused("--home=/none"), self.missing("/none"))


class MistakeTests(CommandTestCase):
    """A command that cannot be done says so in one line."""

    def test_usage(self) -> None:
        """A mistake on the command line is one line, and status 2."""
        for words in (
            (),
            ("foo",),
            ("backup",),
            ("export", "--foo"),
            ("import", "1", "2"),
        ):
            self.said.clear()
            error = self.assertRaises(SystemExit, main, words)
            self.assertEqual(error.code, 2)
            said = "".join(self.said)
            self.assertRegex(said, r"^memq( \w+)?: .* \(see memq( \w+)? --help\)\n$")

    def test_help(self) -> None:
        """Help and version are printed, with status 0."""
        shown: list[str] = []
        self.patch(sys.stdout, "write", shown.append)
        for words in (["--help"], ["export", "--help"], ["--version"]):
            error = self.assertRaises(SystemExit, main, words)
            self.assertEqual(error.code, 0)
        self.assertIn("/var/lib/memq", "".join(shown))
        self.assertEqual(shown[-1], f"memq {__version__}\n")

    def test_noHome(self) -> None:
        """Nothing is exported or copied where no home is, and none is made."""
        path, target = self.path(), self.path()
        for words in (("export",), ("backup", target)):
            said = self.ended(1, *words, "--home", path)
            self.assertIn(f"--home {path}: there is no home of memq's\n", said)
        self.assertFalse(os.path.exists(path))

    def test_denied(self) -> None:
        """A home that may not be read is not told to be missing."""
        denied = raising(PermissionError(errno.EACCES, "Permission denied"))
        # As root nothing is denied.
        self.patch(memq.admin.cli, "os", SimpleNamespace(path=os.path, stat=denied))
        said = self.ended(1, "backup", self.path(), "--home", "/h")
        why = "Permission denied; run this as root or as the owner"
        self.assertEqual(said, f"memq backup: --home /h: {why}\n")

    def test_files(self) -> None:
        """A file that cannot be opened is named."""
        missing = os.path.join(self.path(), "file")
        home = self.home()
        for words in (("import", missing), ("export", "--output", missing)):
            said = self.ended(1, *words, "--home", home)
            self.assertEqual(
                said, f"memq {words[0]}: {missing}: No such file or directory\n"
            )

    def test_notWritten(self) -> None:
        """An export for which there is no room fails, and is no whole one."""
        said = self.ended(1, "export", "--home", self.home(), "--output", "/dev/full")
        self.assertEqual(said.splitlines()[-1], "memq export: No space left on device")

    def test_interrupted(self) -> None:
        """Ctrl-C ends it without a word of its own."""

        def interrupt(*arguments: object) -> None:
            raise KeyboardInterrupt

        self.patch(memq.admin.cli, "makeBackup", interrupt)
        self.assertEqual(
            self.command("backup", "--home", self.home(), self.path()), (130, "")
        )


class ProcessTests(CommandTestCase):
    """The real command, beside a real server."""

    def process(self, *words: str, data: bytes = b"") -> tuple[int, bytes, str]:
        """Run it; return its status and what it wrote."""
        done = self.completed(*words, input=data, stdout=subprocess.PIPE)
        return done.returncode, done.stdout, done.stderr.decode()

    def completed(self, *words: str, **streams: Any) -> Any:
        """Run it to its end."""
        return subprocess.run(
            [sys.executable, "-c", RUN, *words],
            stderr=subprocess.PIPE,
            env=environment(),
            timeout=PATIENCE,
            check=False,
            **streams,
        )

    def test_pipe(self) -> None:
        """It writes to standard output and reads from standard input, as filters do."""
        other = self.path()
        status, text, _ = self.process("export", "--home", self.home())
        self.assertEqual(status, 0)
        status, _, said = self.process("import", "--home", other, data=text)
        self.assertEqual(
            (status, said), (0, "memq import: imported 2 queues, 3 messages\n")
        )
        self.assertEqual(self.process("export", "--home", other)[1], text)

    def test_brokenPipe(self) -> None:
        """When nobody reads what it writes, it says so in one line."""
        reader, writer = os.pipe()
        os.close(reader)
        done = self.completed("export", "--home", self.home(), stdout=writer)
        os.close(writer)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.splitlines()[-1], b"memq export: Broken pipe")

    def test_serverRuns(self) -> None:
        """A server's home is copied, and the copy is exported, which then goes."""
        server = Server(self.path()).start()
        self.addCleanup(server.stop)
        server.talk(b"set q 0 0 2\r\nhi\r\nquit\r\n")
        held = f"--home {server.home}: held by another server (pid {server.pid})"
        temporary = self.path()
        os.mkdir(temporary)
        status, live, said = self.process(
            "export", "--home", server.home, "--temporary", temporary
        )
        self.assertEqual(status, 0)
        self.assertIn(f"memq export: {held}: a copy is exported", said)
        self.assertEqual(os.listdir(temporary), [])
        target = self.path()
        self.assertEqual(self.process("backup", "--home", server.home, target)[0], 0)
        status, text, _ = self.process("export", "--home", target)
        self.assertEqual(status, 0)
        self.assertIn(b'"set": 1, "taken": 0', text)
        self.assertEqual(live.replace(b', "live": true', b""), text)
        self.assertNotEqual(live, text)

    def interrupted(self, number: signal.Signals) -> int:
        """Return the status of an import that a signal ends in its middle."""
        other = self.path()
        # A signal within what measures coverage may hold its lock for ever.
        variables = {
            name: value
            for name, value in environment().items()
            if not name.startswith("COVERAGE_")
        }
        with subprocess.Popen(
            [sys.executable, "-c", RUN, "import", "--home", other],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=variables,
        ) as process:
            assert process.stdin is not None
            assert process.stderr is not None
            # More than a pipe and the buffer hold: so it has begun.
            line = packed(*TWO[2:3]) * 1000
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(packed(*TWO[:2]) + line * 50)
                process.stdin.flush()
                process.send_signal(number)
                process.stdin.write(line)
            said = process.stderr.read()
            status = process.wait(PATIENCE)
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        self.assertEqual(
            said.splitlines()[-1],
            b"memq import: only 0 queues, 0 messages are imported",
        )
        self.assertNotIn(b"Traceback", said)
        self.assertEqual(self.dumpOf(other), "")
        return status

    def test_ctrlC(self) -> None:
        """Ctrl-C in the middle of an import leaves whole queues, and no traceback."""
        self.assertEqual(self.interrupted(signal.SIGINT), 130)

    def test_sigterm(self) -> None:
        """SIGTERM ends it with status 143, without a traceback."""
        self.assertEqual(self.interrupted(signal.SIGTERM), 143)
        handlers: list[Any] = []
        self.patch(signal, "signal", lambda number, handler: handlers.append(handler))
        self.patch(sys, "argv", ["memq"])
        self.assertRaises(SystemExit, memq.cli.run)
        ended = self.assertRaises(SystemExit, handlers[0], signal.SIGTERM, None)
        self.assertEqual(ended.code, 143)
