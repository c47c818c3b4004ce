"""Work: run a command for each message of a queue.

Each of the workers is a thread with a connection of its own, on which one message at a
time is open.  The command gets its body on standard input.  When it ends with status 0
the message is closed; after any other end it is given back, to come again after a
while.  How often that may be, the queue's rule says (max_deliveries, dead_letter).

A worker that is told to stop finishes what runs; whatever ends this program otherwise,
its messages go back.  A connection that is lost is made again; the message that was
open then comes again, though its command may have done its work.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from socket import socketpair
from time import monotonic
from typing import TYPE_CHECKING

from memq.client.figures import detail
from memq.client.jobs import Job, Jobs
from memq.commandline.arguments import addCommand, connected, seconds, whole
from memq.commandline.manage import isPaused
from memq.display import shownName
from memq.errors import CommandError
from memq.wire.extensions import MAX_DELAY

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from types import FrameType

    from memq.client.connection import Connection
    from memq.commandline.arguments import Add, Tell

#: Milliseconds of a wait for a message, after which a worker sees that it is to stop.
WAIT = 500
#: Seconds between two looks whether a command goes on too long.
_LOOK = 0.5
#: Seconds before a lost connection is made again, at first and at most.
_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
#: The byte that says that a thread has ended; no signal has this number.
_ENDED = b"\0"
#: Bytes that are read at a time.
_BYTES = 4096
#: How much of its time a message is open before that is counted anew.
_TOUCH = 1 / 3


def addCommands(add: Add) -> None:
    """Add the subcommand."""
    does = "Run a command for each message, with its body on standard input."
    parser = addCommand(add, "work", _work, does, queues="")
    parser.add_argument(
        "-j",
        dest="workers",
        type=whole(1, 1000),
        default=1,
        metavar="NUMBER",
        help="commands that run at a time (default: 1)",
    )
    parser.add_argument(
        "--retry",
        type=_delays,
        default=(5, 30, 300),
        metavar="SECONDS[,SECONDS...]",
        help="until a message comes again whose command failed once, twice and so on "
        "(default: 5,30,300)",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=float("inf"),
        metavar="SECONDS",
        help="after which a command is killed, and has failed",
    )
    parser.rest = "words"
    parser.add_argument(
        "words", nargs="*", default=[], metavar="COMMAND", help="behind --"
    )


def _delays(text: str) -> tuple[int, ...]:
    read = whole(0, MAX_DELAY)
    return tuple(read(part) for part in text.split(","))


class Stop:
    """The wish to stop: the first time what runs is finished, then it is killed.

    :ivar number: the signal that told it first, 0 for none.
    """

    def __init__(self) -> None:
        self.number = 0
        self.event = threading.Event()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def begin(self, process: subprocess.Popen[bytes]) -> None:
        """Note that a command runs."""
        with self._lock:
            self._running.add(process)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Note that it has ended."""
        with self._lock:
            self._running.discard(process)

    def signalled(self, number: int, frame: FrameType | None) -> None:
        """Be the handler of a signal."""
        if self.number:
            # No lock: a signal may come while this very thread holds it.
            for process in list(self._running):
                kill(process)
        self.number = self.number or number
        self.event.set()


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a command with all that it has started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


class Worker:
    """Runs commands, one at a time."""

    def __init__(
        self,
        options: argparse.Namespace,
        stop: Stop,
        tell: Tell,
        connect: Callable[[], Connection],
    ) -> None:
        self._queue: bytes = options.queue
        self._words: list[str] = options.words
        self._retry: tuple[int, ...] = options.retry
        self._timeout: float = options.timeout
        self._stop, self._tell, self._connect = stop, tell, connect
        self._pause = _PAUSE

    def run(self) -> None:
        """Work until it is told to stop."""
        while not self._stop.event.is_set():
            try:
                with self._connect() as connection:
                    self._serve(connection)
            except CommandError as error:
                self._tell(f"{error}; trying again")
                self._stop.event.wait(self._pause)
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _serve(self, connection: Connection) -> None:
        rules = detail(connection, self._queue).rules
        every = float(rules.get("open_timeout", 0)) * _TOUCH or float("inf")
        jobs = Jobs(connection, self._queue)
        while not self._stop.event.is_set():
            job = jobs.next(WAIT)
            self._pause = _PAUSE
            if job is not None:
                self._do(jobs, job, every)

    def _do(self, jobs: Jobs, job: Job, every: float) -> None:
        """Run the command for a message, and say how it ended."""
        why = self._run(jobs, job, every)
        if not why:
            if not jobs.done(job):
                self._tell(
                    f"message {job.number} was not open any more when its command had "
                    "ended: it may come again"
                )
            return
        delay = self._retry[min(job.tries, len(self._retry) - 1)]
        self._tell(f"message {job.number}, try {job.tries + 1}: {why}")
        jobs.later(job, delay)

    def _run(self, jobs: Jobs, job: Job, every: float) -> str:
        """Run the command; return why it has failed, "" if it has not."""
        variables = {
            "MEMQ_QUEUE": os.fsdecode(self._queue),
            "MEMQ_ID": str(job.number),
            "MEMQ_TRIES": str(job.tries + 1),
        }
        try:
            process = subprocess.Popen(
                self._words,
                stdin=subprocess.PIPE,
                env=os.environ | variables,
                # Ctrl-C is for this program, which finishes what runs.
                start_new_session=True,
            )
        except OSError as error:
            return f"{self._words[0]}: {error.strerror}"
        self._stop.begin(process)
        try:
            return self._watch(process, jobs, job, every)
        finally:
            # A connection that is lost is found out by a touch: the command goes on.
            process.communicate()
            self._stop.end(process)

    def _watch(
        self,
        process: subprocess.Popen[bytes],
        jobs: Jobs,
        job: Job,
        every: float,
    ) -> str:
        """Wait for the end of a command; return why it has failed."""
        began = touched = monotonic()
        body: bytes | None = job.body
        while True:
            try:
                process.communicate(body, timeout=min(_LOOK, every, self._timeout))
            except subprocess.TimeoutExpired:
                body = None
                now = monotonic()
                if now - began >= self._timeout:
                    kill(process)
                    return f"killed after {self._timeout:g} s"
                if now - touched >= every:
                    touched = now
                    jobs.touch(job)
                continue
            status = process.returncode
            if status < 0:
                return f"ended by signal {-status}"
            return f"exit status {status}" if status else ""


def together(works: Sequence[Callable[[], None]]) -> None:
    """Run functions at the same time, each in a thread, until all have ended.

    The handlers of signals are run meanwhile, in this thread, which must be the main
    one.  One that waits for another thread to end does not see a signal that came just
    before; a byte in a socket is not missed.
    """
    asleep, alarm = socketpair()
    with asleep, alarm:
        alarm.setblocking(False)

        def run(work: Callable[[], None]) -> None:
            try:
                work()
            finally:
                alarm.send(_ENDED)

        before = signal.set_wakeup_fd(alarm.fileno(), warn_on_full_buffer=False)
        try:
            threads = [threading.Thread(target=run, args=[work]) for work in works]
            for thread in threads:
                thread.start()
            ended = 0
            while ended < len(threads):
                ended += asleep.recv(_BYTES).count(_ENDED)
            for thread in threads:
                thread.join()
        finally:
            signal.set_wakeup_fd(before)


def _greet(connection: Connection, queue: bytes, tell: Tell) -> None:
    """Tell why a queue gives no messages for now, if it is missing or paused."""
    found = detail(connection, queue)
    name = shownName(queue)
    if not found.numbers:
        tell(f"there is no queue {name} yet; waiting for its first message")
    elif isPaused(found):
        tell(f"queue {name} is paused for reads; waiting for its resume")


def _work(options: argparse.Namespace, tell: Tell) -> int:
    if not options.words:
        raise CommandError("which command? It stands behind --", 2)
    if shutil.which(options.words[0]) is None:
        raise CommandError(f"there is no command {options.words[0]}", 2)
    # A server that is not there at first is a mistake, later on it is waited for.
    with connected(options) as connection:
        _greet(connection, options.queue, tell)
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop.signalled)
    together(
        [
            Worker(options, stop, tell, lambda: connected(options)).run
            for _ in range(options.workers)
        ]
    )
    return 128 + signal.SIGINT if stop.number == signal.SIGINT else 0
