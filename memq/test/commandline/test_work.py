"""The command memq work."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from memq.commandline.work import kill, together
from memq.test.support.commandline import Ended, command, ended, launched, variables
from memq.test.support.servers import scratch, started
from testkit.servers import PATIENCE

if TYPE_CHECKING:
    from testkit.servers import Server

RULES = """
[queue.q]
max_deliveries = 3
dead_letter = "dead"
"""


class WorkTests(SynchronousTestCase):
    """Commands that are run for messages."""

    def setUp(self) -> None:
        """Have a server with rules, and a directory for what commands write."""
        self.path = scratch(self)
        self.out = os.path.join(self.path, "out")
        self.server = self.start(RULES)

    def start(self, rules: str) -> Server:
        """Start a server that reads rules, and listens on a socket as well."""
        config = os.path.join(self.path, "memq.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(rules)
        socket = os.path.join(self.path, "sock")
        return started(self, "--config", config, "--socket", socket)

    def work(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a worker on the queue q, by way of the socket."""
        socket = os.path.join(self.path, "sock")
        environment = variables(self.server, OUT=self.out, MEMQ_SERVER=socket)
        worker = launched(self.server, "work", "q", *words, env=environment)
        self.addCleanup(worker.kill)
        return worker

    def stop(self, worker: subprocess.Popen[bytes]) -> Ended:
        """Tell a worker to stop, and return how it ended."""
        worker.terminate()
        return ended(worker)

    def waitFor(self, queue: bytes, figure: str, value: int) -> None:
        """Wait until a queue has a figure."""
        name = f"queue_{queue.decode()}_{figure}".encode()
        with self.server.wire() as wire:
            while wire.figures(b"detail " + queue).get(name) != b"%d" % value:
                wire.ask(b"verbosity 1")

    def written(self) -> list[str]:
        """Return the lines that commands have written, sorted."""
        with open(self.out, encoding="utf-8") as file:
            return sorted(file.read().splitlines())

    def test_done(self) -> None:
        """Each body is on standard input; a message whose command ends well is gone."""
        self.server.put(b"q", b"a", b"b", bytes(300_000))
        script = 'echo "$MEMQ_QUEUE $MEMQ_ID $MEMQ_TRIES $(wc -c)" >>"$OUT"'
        worker = self.work("-j", "2", "--", "sh", "-c", script)
        self.waitFor(b"q", "deleted", 3)
        self.assertEqual(self.stop(worker), (0, b"", ""))
        self.assertEqual(self.written(), ["q 0 1 1", "q 1 1 1", "q 2 1 300000"])

    def test_nothing(self) -> None:
        """A queue that is missing or paused is told at first, and waited for."""
        worker = self.work("--", "true")
        self.assertEqual(
            self.firstLine(worker),
            "memq work: there is no queue q yet; waiting for its first message\n",
        )
        self.server.put(b"q", b"a")
        self.waitFor(b"q", "deleted", 1)
        self.assertEqual(self.stop(worker), (0, b"", ""))
        self.server.ask(b"pause q reads")
        worker = self.work("--", "true")
        why = "memq work: queue q is paused for reads; waiting for its resume\n"
        self.assertEqual(self.firstLine(worker), why)
        self.waitFor(b"q", "waiters", 1)
        self.assertEqual(self.stop(worker), (0, b"", ""))

    def firstLine(self, worker: subprocess.Popen[bytes]) -> str:
        """Return the first line that a worker tells."""
        assert worker.stderr is not None
        return worker.stderr.readline().decode()

    def test_deadLetters(self) -> None:
        """A message whose command always fails becomes a dead letter."""
        self.server.put(b"q", b"a", b"b", b"c", b"d")
        script = 'echo "$(cat) $MEMQ_TRIES" >>"$OUT"; exit 1'
        worker = self.work("-j4", "--retry", "0", "--", "sh", "-c", script)
        self.waitFor(b"dead", "items", 4)
        done = self.stop(worker)
        self.assertEqual(done.status, 0)
        self.assertEqual(
            self.written(), [f"{body} {n}" for body in "abcd" for n in (1, 2, 3)]
        )
        self.assertEqual(done.err.count("try 3: exit status 1\n"), 4)
        self.assertEqual(sorted(self.server.take(b"dead")), [b"a", b"b", b"c", b"d"])

    def test_later(self) -> None:
        """A message comes again after as long as is said of that try."""
        self.server.put(b"q", b"a")
        worker = self.work("--retry=0,1000", "--", "false")
        self.waitFor(b"q", "delayed", 1)
        done = self.stop(worker)
        self.assertIn("try 1: exit status 1", done.err)
        self.assertIn("try 2: exit status 1", done.err)

    def test_killed(self) -> None:
        """A command that is killed has failed, and so has one that takes too long."""
        bad = os.path.join(self.path, "bad")
        with open(bad, "wb") as file:
            file.write(b"\x7fELF")
        os.chmod(bad, 0o755)
        for words, said in (
            (("--", "sh", "-c", "kill -9 $$"), "ended by signal 9"),
            (("--timeout=0.1", "--", "sleep", "1000"), "killed after 0.1 s"),
            (("--", bad), f"{bad}: Exec format error"),
        ):
            self.server.put(b"q", b"a")
            worker = self.work("--retry=1000", *words)
            self.waitFor(b"q", "delayed", 1)
            done = self.stop(worker)
            self.assertRegex(done.err, rf"^memq work: message \d, try 1: {said}\n$")
            self.server.ask(b"delete q")

    def test_stopped(self) -> None:
        """SIGTERM and Ctrl-C let a command finish; the message is closed then."""
        for number, status in ((signal.SIGTERM, 0), (signal.SIGINT, 130)):
            self.server.put(b"q", b"a")
            pipe = os.path.join(self.path, f"pipe{status}")
            os.mkfifo(pipe)
            worker = self.work("--", "sh", "-c", f"read line <{pipe}")
            with open(pipe, "w", encoding="ascii") as file:
                worker.send_signal(number)
                self.assertRaises(subprocess.TimeoutExpired, worker.wait, 0.7)
                file.write("go\n")
            self.assertEqual(ended(worker), (status, b"", ""))
        self.assertEqual(self.server.take(b"q"), [])

    def test_stoppedTwice(self) -> None:
        """A second signal kills what runs; the message is tried later."""
        self.server.put(b"q", b"a")
        pipe = os.path.join(self.path, "pipe")
        os.mkfifo(pipe)
        worker = self.work("--", "sh", "-c", f"echo >{pipe}; sleep 1000")
        with open(pipe, "rb") as file:
            self.assertEqual(file.read(), b"\n")
        worker.terminate()
        self.assertRaises(subprocess.TimeoutExpired, worker.wait, 0.1)
        done = self.stop(worker)
        self.assertEqual(done.status, 0)
        self.assertIn("try 1: ended by signal 9", done.err)
        self.assertEqual(self.server.figures(b"detail q")[b"queue_q_delayed"], b"1")

    def test_signalled(self) -> None:
        """A signal that another thread is given reaches its handler all the same."""
        handled = threading.Event()
        before = signal.signal(signal.SIGUSR2, lambda number, frame: handled.set())
        self.addCleanup(signal.signal, signal.SIGUSR2, before)
        seen = []

        def work() -> None:
            signal.pthread_kill(threading.get_ident(), signal.SIGUSR2)
            seen.append(handled.wait(PATIENCE))

        together([work])
        self.assertEqual(seen, [True])

    def test_ended(self) -> None:
        """A command that has ended is not killed: its number may be another's."""
        process = subprocess.Popen(["true"], start_new_session=True)
        process.wait(PATIENCE)
        self.patch(os, "killpg", self.fail)
        kill(process)

    def test_touched(self) -> None:
        """A message stays open for as long as its command runs."""
        self.server.stop()
        self.server = self.start("[queue.q]\nopen_timeout = 1\n")
        self.server.put(b"q", b"a")
        worker = self.work("--", "sh", "-c", "sleep 2.5")
        self.waitFor(b"q", "deleted", 1)
        self.assertEqual(self.stop(worker), (0, b"", ""))
        self.assertEqual(self.server.figures(b"detail q")[b"queue_q_deliveries"], b"0")

    def test_late(self) -> None:
        """A message that was not open any more is told."""
        self.server.put(b"q", b"a")
        pipe = os.path.join(self.path, "pipe")
        os.mkfifo(pipe)
        worker = self.work("--", "sh", "-c", f"read line <{pipe}")
        with open(pipe, "w", encoding="ascii") as file:
            self.server.ask(b"flush q")
            file.write("go\n")
        with self.server.wire() as wire:
            while wire.figures(b"detail q")[b"queue_q_waiters"] != b"1":
                wire.ask(b"verbosity 1")
        done = self.stop(worker)
        self.assertIn("message 0 was not open any more when its command had", done.err)

    def test_lost(self) -> None:
        """A connection that is lost is made again, and messages come again."""
        self.server.put(b"q", b"a")
        pipe = os.path.join(self.path, "pipe")
        os.mkfifo(pipe)
        script = f'read line <{pipe}; echo "$(cat)" >>"$OUT"'
        worker = self.work("--", "sh", "-c", script)
        with open(pipe, "w", encoding="ascii") as file:
            self.server.stop(signal.SIGKILL)
            file.write("go\n")
        self.server.start()
        with open(pipe, "w", encoding="ascii") as file:
            file.write("go\n")
        self.waitFor(b"q", "deleted", 1)
        done = self.stop(worker)
        self.assertEqual(done.status, 0)
        self.assertIn("memq work: the server closed the connection", done.err)
        self.assertEqual(self.written(), ["a", "a"])

    def test_mistakes(self) -> None:
        """A command that is not there, and a server that is not, are told at once."""
        done = command(self.server, "work", "q", "--", "/none/x")
        self.assertEqual(done, (2, b"", "memq work: there is no command /none/x\n"))
        done = command(self.server, "work", "q")
        self.assertEqual(done.status, 2)
        done = command(self.server, "work", "q", "--retry", "5,x", "true")
        self.assertIn("argument --retry: ", done.err)
        self.server.stop()
        done = command(self.server, "work", "q", "true")
        self.assertEqual(done.status, 1)
        self.assertIn("memq work: no server: 127.0.0.1:", done.err)
