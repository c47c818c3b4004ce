"""Samples of a running memq: memory, files, threads, disk, messages, how long it takes.

A stretch is the life of one server, between two starts.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testkit.ledger import Ledger
    from testkit.servers import Server


class Sample(NamedTuple):
    """The state of a server at a moment.

    :ivar at: seconds since the beginning of everything.
    :ivar resident: bytes of memory.
    :ivar files: open files.
    :ivar threads: threads.
    :ivar disk: bytes that the home takes.
    :ivar logs: log files.
    :ivar messages: how many wait.
    :ivar took: milliseconds that each command of the probe took since the last sample.
    """

    at: float
    resident: int
    files: int
    threads: int
    disk: int
    logs: int
    messages: int
    took: list[float]


class Stretch(NamedTuple):
    """The life of one server.

    :ivar setting: ``--no-sync``, or nothing.
    :ivar isLong: whether it is long enough to show what leaks.
    """

    setting: str
    isLong: bool
    samples: list[Sample]


@dataclass
class SoakRecord:
    """All that was seen of a soak.

    :ivar stretches: the lives of the servers.
    :ivar moments: for each thing that happened to them, when, in seconds.
    :ivar lasted: seconds that all of it took.
    """

    seed: int
    ledger: Ledger
    stretches: list[Stretch]
    moments: dict[str, list[float]]
    lasted: float


class Sampler:
    """Take samples of a server, each time that its probe has something to tell."""

    def __init__(
        self, began: float, interval: float, complain: Callable[[str], None]
    ) -> None:
        """Remember how.

        :param began: when everything began, by time.monotonic.
        :param interval: seconds between two samples.
        :param complain: called when there is a problem before the server is to end.
        """
        self._began = began
        self._interval = interval
        self._complain = complain

    @contextlib.contextmanager
    def sampling(
        self, server: Server, samples: list[Sample]
    ) -> Iterator[threading.Event]:
        """Take samples while this lasts.

        It gives an event, to be set before the server is ended.
        """
        ending = threading.Event()
        command = [sys.executable, "-m", "bench.probe"]
        command += [str(server.port), str(self._interval)]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        ) as probe:
            assert probe.stdout is not None
            lines = iter(probe.stdout)

            def sample() -> None:
                try:
                    samples.extend(
                        self._sample(server, json.loads(line)) for line in lines
                    )
                except OSError as error:
                    if not ending.is_set():
                        self._complain(f"the server cannot be looked at: {error!r}")

            thread = threading.Thread(target=sample)
            thread.start()
            try:
                yield ending
            finally:
                probe.terminate()
                thread.join()

    def _sample(self, server: Server, took: list[float]) -> Sample:
        with open(f"/proc/{server.pid}/status", encoding="ascii") as file:
            fields = dict(re.findall(r"^(VmRSS|Threads):\s+(\d+)", file.read(), re.M))
        answer = server.talk(b"stats\r\nquit\r\n")
        messages = re.search(rb"^STAT messages (\d+)", answer, re.M)
        disk, logs = room(os.path.join(server.home, "memq"))
        return Sample(
            at=time.monotonic() - self._began,
            resident=int(fields.get("VmRSS", 0)) * 1024,
            files=len(os.listdir(f"/proc/{server.pid}/fd")),
            threads=int(fields.get("Threads", 0)),
            disk=disk,
            logs=logs,
            messages=int(messages[1]) if messages else 0,
            took=took,
        )


def room(directory: str) -> tuple[int, int]:
    """Return the bytes that files take on the disk, and how many are log files."""
    size = logs = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            # A log file may be removed meanwhile.
            with contextlib.suppress(FileNotFoundError):
                size += entry.stat().st_blocks * 512
                logs += entry.name.startswith("log.")
    return size, logs


def percentile(values: list[float], percent: float) -> float:
    """Return the value that so many percent of them do not exceed; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
