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
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memq.test.servers import Server


class Sample(NamedTuple):
    """What was seen at a moment.

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


class Sampler:
    """Take samples of a server, each time that its probe has something to tell."""

    def __init__(self, began: float, interval: float) -> None:
        """Remember when everything began, and the seconds between two samples."""
        self._began = began
        self._interval = interval
        self._problem: Exception | None = None

    @contextlib.contextmanager
    def sampling(self, server: Server, samples: list[Sample]) -> Iterator[None]:
        """Take samples while this lasts, which has to end with the server's end.

        :raise Exception: what was wrong before that, at the end.
        """
        ending = threading.Event()
        command = [sys.executable, "-m", "bench.probe"]
        command += [str(server.port), str(self._interval)]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        ) as probe:
            assert probe.stdout is not None

            def sample(lines: Iterator[str]) -> None:
                try:
                    samples.extend(
                        self._sample(server, json.loads(line)) for line in lines
                    )
                except OSError as error:
                    # The server may be gone before its probe is.
                    if not ending.is_set():
                        self._problem = error

            thread = threading.Thread(target=sample, args=[iter(probe.stdout)])
            thread.start()
            try:
                yield
                ending.set()
            finally:
                probe.terminate()
                thread.join()
        if self._problem:
            raise self._problem

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
