"""The project's pages show what is so: README.md, docs/ and the rest.

Every block of README.md, and of the pages that go on where it ends, is run as it
stands, through a real shell or a real socket; only paths and ports are moved to where
nothing else is.  Those in PHP are run by memq.test.clients.test_readme, where there is
a php.  Blocks that want root or another system are looked at by
memq.test.pages.test_debianpages. The tables of docs/protocol.md are sent to a real
server, row by row.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import os
import re
import shlex
import shutil
import subprocess
import sys
from glob import glob
from signal import SIGTERM
from time import monotonic, sleep
from typing import TYPE_CHECKING, TextIO

from twisted.scripts._twistd_unix import ServerOptions

from memq.config.commandline import Options
from memq.config.file import readConfig
from memq.errors import QueueError
from memq.test.pages.pages import (
    PAGES,
    RUN_PAGES,
    PageTestCase,
    anchors,
    blocks,
    links,
    readPage,
    tables,
)
from memq.test.support.foreign.memcacheqdirs import MemcacheQ
from memq.test.support.servers import started
from memq.test.support.tlsservers import TLSServer
from memq.wire import text as wire
from memq.wire.auth.refusals import LineTooLong
from memq.wire.extensions import Add
from memq.wire.figures import FIGURES, KESTREL, PEEKED
from testkit.servers import PATIENCE, ROOT, TWISTD, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testkit.servers import Server

_PHP = "memq.test.clients.test_readme"
_DEBIAN = "memq.test.pages.test_debianpages"
_RECIPES = "memq.test.clients.access.test_recipes"

#: The tests that run the blocks of a kind.
RUNNERS = {
    "telnet": "TelnetTests",
    "console": "ConsoleTests",
    "toml": "TOMLTests",
    "php": _PHP,
    "console php": _PHP,
    "console debian": _DEBIAN,
    "ini": _DEBIAN,
    "sh": _DEBIAN,
    "console container": "memq.test.pages.test_container",
    "python": _RECIPES,
    "stunnel": _RECIPES,
    "nft": _RECIPES,
    "yaml": _RECIPES,
    "sh deploy": _RECIPES,
    "console certificates": _RECIPES,
    "console stunnel": _RECIPES,
}

#: Lines that telnet says by itself, first and last.
GREETING = [
    "Trying 127.0.0.1...",
    "Connected to 127.0.0.1.",
    "Escape character is '^]'.",
]
FAREWELL = "Connection closed by foreign host."

LISTENING = "Listening on 127.0.0.1:"

#: Words in the log of a command that has worked; "" for one that is silent.
PROOFS = {
    "make run": LISTENING,
    "make test": "python tools/suite.py",
    "twistd": LISTENING,
    "memcacheq": LISTENING,
    "mv": "",
    "kill": "",
    "memq": "",
}


class PagesTests(PageTestCase):
    """Rules that hold for all pages."""

    def test_kinds(self) -> None:
        """Each block of the pages that are run is of a kind that a test runs."""
        pages = [readPage(path) for path in RUN_PAGES]
        kinds = {block.kind for page in pages for block in blocks(page)}
        self.assertEqual(kinds, set(RUNNERS))

    def test_options(self) -> None:
        """Each option that a page names is there, in memq or in twistd."""
        known = {"help", "version"}
        for options in (Options(), ServerOptions()):
            known |= {name.rstrip("=") for name in options.longOpt}
        ours = glob(f"{ROOT}/memq/commandline/**/*.py", recursive=True)
        others = ("admin/cli.py", "client/identity.py", "memcacheq/adoptcli.py")
        for module in (*(f"memq/{each}" for each in others), *ours):
            known |= set(re.findall(r'"--([a-z-]+)"', readPage(module)))
        for path in PAGES:
            # The options of other programs are looked at where they are.
            page = re.sub(
                "^```console (?:debian|container|certificates|stunnel)$.*?^```$",
                "",
                readPage(path),
                flags=re.M | re.S,
            )
            named = set(re.findall(r"--([a-z][a-z-]*)", page)) - {"include-deps"}
            self.assertEqual(named - known, set(), path)

    def test_targets(self) -> None:
        """Each target of make that a page names is in the Makefile."""
        targets = set(re.findall(r"^([a-z-]+):.*## ", readPage("Makefile"), re.M))
        for path in PAGES:
            named = set(re.findall(r"`make ([a-z-]+)`", readPage(path)))
            self.assertEqual(named - targets, set(), path)

    def test_links(self) -> None:
        """Each link between pages leads somewhere, to a heading if it names one."""
        for path in PAGES:
            for link in links(readPage(path)):
                other, _, anchor = link.partition("#")
                page = os.path.join(os.path.dirname(path), other) if other else path
                self.assertTrue(os.path.exists(os.path.join(ROOT, page)), link)
                if anchor:
                    self.assertIn(anchor, anchors(readPage(page)), path)

    def test_modules(self) -> None:
        """Each module and each test module that a page names in code is there."""
        there = {
            os.path.relpath(path, ROOT)
            for folder in ("memq", "testkit", "bench", "tools")
            for path in glob(f"{ROOT}/{folder}/**/*.py", recursive=True)
        }
        tests = {os.path.basename(path).removesuffix(".py") for path in there}
        for path in PAGES:
            page = readPage(path)
            for name in re.findall(r"`([a-z]+/[\w/]+\.py)`", page):
                self.assertTrue({name, f"memq/{name}"} & there, f"{path}: {name}")
            named = set(re.findall(r"`(test_\w+)(?:\.py)?`", page))
            self.assertEqual(named - tests, set(), path)

    def test_fragments(self) -> None:
        """Each news fragment is of a kind that the next NEWS.md will have."""
        kinds = re.findall(r'^directory = "(\w+)"$', readPage("pyproject.toml"), re.M)
        name = rf"(\d+|\+[a-z-]+)\.({'|'.join(kinds)})\.md"
        for fragment in os.listdir(os.path.join(ROOT, "newsfragments")):
            self.assertRegex(fragment, rf"^({name}|\.gitignore)$")


def exchanges(session: list[str]) -> list[tuple[bytes, bytes]]:
    """Return what is typed and what comes back, for each command of a session."""
    found: list[tuple[list[str], list[str]]] = []
    hasBody = False
    for line in session:
        command = wire.parse(line.encode())
        if hasBody:
            found[-1][0].append(line)
            hasBody = False
        elif type(command) is wire.Refused:
            found[-1][1].append(line)
        else:
            found.append(([line], []))
            hasBody = isinstance(command, wire.Set | Add)
    return [(_lines(typed), _lines(answered)) for typed, answered in found]


def _lines(lines: list[str]) -> bytes:
    return "".join(line + "\r\n" for line in lines).encode()


class TelnetTests(PageTestCase):
    """The sessions, through a real socket to a real server."""

    def setUp(self) -> None:
        """Start a server."""
        super().setUp()
        self.server = started(self)

    def play(self, restart: bool) -> None:
        """Check each session, byte for byte, perhaps with a restart at each command."""
        for text in self.ofKind("telnet"):
            command, *greeting = text.splitlines()[:4]
            *session, last, farewell = text.splitlines()[4:]
            self.assertRegex(command, r"^\$ telnet 127\.0\.0\.1 [0-9]+$")
            self.assertEqual([*greeting, last, farewell], [*GREETING, "quit", FAREWELL])
            client = self.server.wire()
            for typed, answered in exchanges(session):
                client.send(typed)
                self.assertEqual(client.read(len(answered)), answered)
                if restart:
                    self.assertEqual(self.server.stop(), 0)
                    client.close()
                    client = self.server.start().wire()
            client.send(b"quit\r\n")
            self.assertEqual(client.rest(), b"")
            client.close()

    def test_session(self) -> None:
        """The server answers as it is written."""
        self.play(restart=False)

    def test_restarts(self) -> None:
        """So it does when it is stopped and started after each command."""
        self.play(restart=True)


class Shell:
    """A shell in which the pages' commands run for real, but out of the way.

    Absolute paths lead into a directory of the test's, servers take a free port
    of 127.0.0.1, and make only says what it would do, but for `make run`, whose
    command is run.  MemcacheQ has left a directory where it did by itself.
    """

    def __init__(self, directory: str) -> None:
        """Make the directory, with what stands in the commands' way in bin/."""
        self.path = os.path.abspath(directory)
        for name in ("bin", "data1", "run", "var/lib", "var/log"):
            os.makedirs(os.path.join(self.path, name))
        self._bin = os.path.join(self.path, "bin")
        user = getpass.getuser()
        python = f"exec {shlex.quote(sys.executable)} -c"
        make = [
            shutil.which("make") or "make",
            *("--no-print-directory", "--dry-run", f"--directory={ROOT}"),
            *("-o", ".venv/memq.stamp", "-o", ".venv/tools.stamp"),
            *(f"BIN={self._bin}", f"DATA={self.path}/var/memq"),
        ]
        programs = {
            "memq": f'{python} "from memq.cli import run; exit(run())" "$@"',
            "memq-adopt": f'{python} "from memq.cli import runAdopt; exit(runAdopt())" '
            '"$@"',
            "twistd": f'exec {shlex.join(TWISTD)} "$@" --port 0 --web-listen=',
            "memcacheq": f'{python} "from memq.memcacheq.cli import main; main()" "$@" '
            f"-p 0 -l 127.0.0.1 -u {user}",
            "make": f'line=$({shlex.join(make)} "$@") || exit\n'
            'if [ "$1" = run ]; then eval "$line"; else echo "$line"; fi',
        }
        for name, script in programs.items():
            self._program(name, script)
        old = MemcacheQ(os.path.join(self.path, "data1/memcacheq"))
        old.push(b"q", b"x")
        old.stop()
        self._processes: list[subprocess.Popen[bytes]] = []

    def _program(self, name: str, script: str) -> None:
        path = os.path.join(self._bin, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n{script}\n")
        os.chmod(path, 0o755)

    def run(self, command: str, proof: str) -> None:
        """Run a command until its proof is in a log; if it has none, to its end."""
        command = re.sub(r"(?<![\w./])/(?=(data1|run|var)/)", self.path + "/", command)
        with open(os.path.join(self.path, "console.log"), "ab") as output:
            process = subprocess.Popen(
                ["/bin/sh", "-c", command],
                cwd=self.path,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._processes.append(process)

        def isOver() -> bool:
            ended = process.poll() is not None
            return bool(process.poll()) or (proof in self.logs() if proof else ended)

        self._wait(isOver)
        assert not process.poll(), f"{command}: {self.logs()}"

    def _environment(self) -> dict[str, str]:
        """Return the environment, without what an outer make has put there."""
        outer = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
        inherited = {k: v for k, v in environment().items() if k not in outer}
        return {**inherited, "PATH": f"{self._bin}:{os.environ['PATH']}"}

    def _wait(self, condition: Callable[[], bool]) -> None:
        late = monotonic() + PATIENCE
        while not condition():
            assert monotonic() < late, self.logs()
            sleep(0.02)

    def logs(self) -> str:
        """Return all that was logged, and printed."""
        text = ""
        for path in sorted(glob(f"{self.path}/**/*.log*", recursive=True)):
            with open(path, encoding="utf-8", errors="replace") as file:
                text += file.read()
        return text

    def stop(self) -> list[int]:
        """Stop the servers; return how the commands have ended."""
        for path in glob(f"{self.path}/**/memq/lock", recursive=True):
            with open(path, encoding="ascii") as lock:
                self._stopHolder(lock)
        return [process.wait(PATIENCE) for process in self._processes]

    def _stopHolder(self, lock: TextIO) -> None:
        if _isFree(lock):
            return
        # A command may have told it to stop already.
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(lock.read()), SIGTERM)
        self._wait(lambda: _isFree(lock))


def _isFree(lock: TextIO) -> bool:
    """Return whether nobody has locked a file; from now on, the test has."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class ConsoleTests(PageTestCase):
    """The shell commands, in a real shell."""

    def play(self, text: str) -> str:
        """Run the commands of a block, and return what was logged."""
        shell = Shell(self.mktemp())
        self.addCleanup(shell.stop)
        for line in text.splitlines():
            self.assertEqual(line[:2], "$ ")
            (proof,) = (
                proof for words, proof in PROOFS.items() if line[2:].startswith(words)
            )
            shell.run(line[2:], proof)
        statuses = shell.stop()
        self.assertEqual(statuses, [0] * len(statuses), shell.logs())
        return shell.logs()

    def test_commands(self) -> None:
        """Each command works: a server listens and stops, a log is opened again."""
        for text in self.ofKind("console"):
            logs = self.play(text)
            self.assertEqual(
                LISTENING in logs, "[memq.daemon.service#info] Stopped" in logs
            )
            self.assertEqual("kill -HUP" in text, "opened the log file again" in logs)

    def test_unknown(self) -> None:
        """A command that nobody said how to check is not run."""
        self.assertRaises(ValueError, self.play, "$ rm -rf /data1/memcacheq\n")

    def test_broken(self) -> None:
        """A command that fails fails the test."""
        error = self.assertRaises(
            AssertionError, self.play, "$ twistd -n memq --home /data1/h --colour red\n"
        )
        self.assertIn("--colour", str(error))

    def test_original(self) -> None:
        """One of them is MemcacheQ's own command line, with everything it does."""
        line = "memcacheq -d -r -H /data1/memcacheq -N -R -v -L 1024 -B 1024 >"
        self.assertEqual(sum(line in text for text in self.ofKind("console")), 1)


class TOMLTests(PageTestCase):
    """The configuration files."""

    def test_read(self) -> None:
        """Each is taken as it stands, and says something."""
        for text in self.ofKind("toml"):
            path = self.mktemp()
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            config = readConfig(path)
            said = (config.server, config.queues, config.listens, config.tls)
            self.assertTrue(any(said) or config.users, text)


class ProtocolTests(PageTestCase):
    """docs/protocol.md against a real server."""

    PATH = "docs/protocol.md"

    def play(self, header: str, server: Server) -> int:
        """Send all rows under a header; return how many there are."""
        count = 0
        for table in tables(readPage(self.PATH)):
            if table.header == [header, "answered", ""]:
                self.clear(server)
                for row in table.rows:
                    self.check(server, row)
                count += len(table.rows)
        return count

    def clear(self, server: Server) -> None:
        """Delete all queues."""
        server.ask(*(b"delete " + queue for queue in server.counts()))

    def check(self, server: Server, row: list[str]) -> None:
        """Send a row's lines, and compare."""
        sent, answered = row[0], row[1].removesuffix(" *closed*")
        # A connection that the server is to close by itself need not quit.
        last = b"" if row[1].endswith("*closed*") else b"quit\r\n"
        self.assertEqual(server.talk(wireBytes(sent) + last), wireBytes(answered), row)

    def test_rows(self) -> None:
        """The request on the left of a row is answered with the reply beside it."""
        self.assertGreater(self.play("sent", started(self)), 100)

    def test_rowsOverTLS(self) -> None:
        """So it is over TLS."""
        self.assertGreater(self.play("sent", TLSServer(self).start()), 100)

    def test_rowsWithFlushAll(self) -> None:
        """So it is with an option that one table is about."""
        header = "sent, with `--enable-flush-all`"
        server = started(self, "--enable-flush-all")
        self.assertGreater(self.play(header, server), 5)

    def test_stats(self) -> None:
        """The figures of stats are listed in their order; those marked are zeroed."""
        server = started(self)
        server.put(b"q", b"hi")
        server.ask(b"get q")
        with server.wire() as wire:
            # Both at once: what is read later counts anew.
            wire.send(b"stats reset\r\nstats\r\n")
            figures = [line.split(b" ", 2)[1:] for line in wire.lines()[1:]]
        told = [name for name, _ in figures[-len(KESTREL) :]]
        self.assertEqual({name.rpartition(b"q_")[0] for name in told}, {b"queue_"})
        rows = self.table(self.PATH, "name", "value", "zeroed").rows
        for (name, value), (row, _, zeroed) in zip(
            figures[: -len(KESTREL)], rows, strict=True
        ):
            self.assertEqual(name.decode(), row.strip("`"))
            if zeroed:
                self.assertEqual(value, b"0", name)

    def test_figures(self) -> None:
        """The figures of a queue, and of a message, are listed in their order."""
        for head, names in (("of the queue", FIGURES), ("of the message", PEEKED)):
            rows = self.table(self.PATH, "figure", head).rows
            self.assertEqual([row[0].strip("`") for row in rows], [*names])

    def test_errors(self) -> None:
        """Every error that has words of its own is listed with them."""
        listed = {
            row[0].strip("`") for row in self.table(self.PATH, "reply", "when").rows
        }
        replies = {each.reply.decode() for each in subclasses(QueueError)}
        # That one closes without a word.
        self.assertEqual(replies - listed, {LineTooLong.reply.decode()})


def subclasses(parent: type[QueueError]) -> Iterator[type[QueueError]]:
    """Yield a class of errors, and every class below it."""
    yield parent
    for child in parent.__subclasses__():
        yield from subclasses(child)


def wireBytes(cell: str) -> bytes:
    """Return the bytes that a cell of docs/protocol.md stands for."""
    lines = re.findall(r"`([^`]*)`|\*empty line\*", cell)
    shown = "".join(f"`{line}`" if line else "*empty line*" for line in lines)
    rest = cell.replace(" ", "") != shown.replace(" ", "")
    assert not rest or cell in ("*nothing*", "*closed*"), cell
    return _lines([line.replace("\\t", "\t") for line in lines])
