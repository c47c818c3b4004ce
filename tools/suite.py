"""Run the suite on all processors: python tools/suite.py --help.

Each process of trial takes a few modules, those first that took longest last time.  Its
counts are printed as it says them, with all that it says of what failed; at the end
come the tests that took longest.  The status is 1 if a process fails.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
#: Seconds that each module took, from one run to the next.
TIMES = ROOT / "build" / "suite.json"
#: Seconds that a module is thought to take before the first run, that these are, and
#: those that start servers; the seconds of the modules that one process takes.
GUESS, LONG_GUESS, ENOUGH = 0.5, 8.0, 8.0
#: Those that start servers, and browsers.
STARTERS = ["memq.test.browser", "memq.test.system"]
LONG = {
    f"memq.test.{name}": seconds
    for name, seconds in {
        "clients.access.test_dropin": 60.0,
        "clients.access.test_recipes": 15.0,
        "clients.access.test_refusals": 15.0,
        "clients.test_clients": 60.0,
        "clients.test_java": 20.0,
        "clients.test_node": 20.0,
        "clients.test_python": 40.0,
        "clients.test_timeouts": 15.0,
        "clients.test_together": 30.0,
        "commandline.test_pop": 20.0,
        "commandline.test_push": 15.0,
        "commandline.test_work": 20.0,
        "commands.test_kestrel": 12.0,
        "memcacheq.test_adoption": 20.0,
        "pages.test_readme": 30.0,
        "storage.bdb.test_compaction": 12.0,
        "storage.bdb.test_store": 20.0,
        "system.test_backup_load": 15.0,
        "system.test_commandline": 15.0,
        "system.test_exchanged": 25.0,
        "system.test_full": 25.0,
        "system.test_fuzzing": 12.0,
        "system.test_hostile": 50.0,
        "system.test_kills": 35.0,
        "system.test_load": 30.0,
        "system.test_model": 20.0,
        "system.test_powercut": 25.0,
        "system.test_strangers": 30.0,
        "system.test_twistd": 30.0,
        "system.test_workers": 15.0,
    }.items()
}
#: What runs with coverage on the second binding, too: what differs is in there.
DIFFERENT = ["memq.test.storage.engine"]
#: Those that load their servers, which therefore run without coverage.
LOADED = [
    f"memq.test.system.test_{name}"
    for name in (
        *("backup_load", "consumers", "full", "hostile"),
        *("kills", "load", "strangers", "waiters", "wrecks"),
    )
]
#: Those that are judged by the clock: each runs when nothing else does, at the end.
ALONE = ["memq.test.browser.test_many", "memq.test.system.test_waiters"]
#: A file system in memory, and the bytes that have to be free there.
MEMORY, ROOM = "/dev/shm", 3 << 30
#: Seconds after which a process hangs: the longest takes a tenth of that.
PATIENCE = 1800
#: How many tests are named in the end.
LONGEST = 10

#: A test, and how long it took; and trial's last line.
_TEST = re.compile(r"^(memq\S+) \.\.\. .*\n?\((\d+\.\d+) secs\)$", re.MULTILINE)
_COUNTS = re.compile(r"^(?:PASSED|FAILED).*$", re.MULTILINE)


class Part(NamedTuple):
    """The modules that a process of trial takes.

    :ivar binding: bsddb3, or nothing for the one that memq prefers.
    """

    modules: tuple[str, ...]
    seconds: float
    binding: str = ""

    def __str__(self) -> str:
        """Return what a person calls it."""
        first, *others = [module.removeprefix("memq.test.") for module in self.modules]
        more = f" and {len(others)} more" if others else ""
        return f"{first}{more}{' on ' * bool(self.binding)}{self.binding}"


class Outcome(NamedTuple):
    """The outcome of a part: all that trial said, and the seconds of each test."""

    part: Part
    status: int
    took: float
    said: str
    tests: dict[str, float]


def within(module: str, packages: list[str]) -> bool:
    """Return whether a module is one of these or lies below one."""
    return any(f"{module}.".startswith(f"{package}.") for package in packages)


def find(wanted: list[str], without: list[str]) -> list[str]:
    """Return the names of test modules in some packages, but for those in others."""
    paths = sorted((ROOT / "memq" / "test").rglob("test_*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return [n for n in names if within(n, wanted) and not within(n, without)]


def isAlone(part: Part) -> bool:
    """Return whether a part may have nothing beside it."""
    return within(part.modules[0], ALONE)


def divide(modules: list[str], times: dict[str, float]) -> list[Part]:
    """Return parts: neighbours of one package that take little are together."""
    parts: list[Part] = []
    kind: object = None
    for module in modules:
        guess = LONG_GUESS if within(module, STARTERS) else GUESS
        seconds = times.get(module, LONG.get(module, guess))
        last, kind = (
            kind,
            (module.rpartition(".")[0], within(module, LOADED), within(module, ALONE)),
        )
        if kind == last and parts[-1].seconds + seconds <= ENOUGH:
            (others, before, _) = parts.pop()
            parts.append(Part((*others, module), before + seconds))
        else:
            parts.append(Part((module,), seconds))
    return parts


class Suite:
    """Processes of trial, several at once.

    :ivar directory: for all that tests write.
    """

    def __init__(self, directory: str, isCovered: bool) -> None:
        self._directory = directory
        self._isCovered = isCovered
        self._processes: list[subprocess.Popen[str]] = []

    def run(self, parts: list[Part], jobs: int) -> list[Outcome]:
        """Run parts, the longest ones first, and print what becomes of each."""
        last = [part for part in parts if isAlone(part)]
        first = [part for part in parts if not isAlone(part)]
        return self._runAll(first, jobs) + self._runAll(last, 1)

    def _runAll(self, parts: list[Part], jobs: int) -> list[Outcome]:
        outcomes = []
        parts = sorted(parts, key=lambda part: -part.seconds)
        with ThreadPoolExecutor(jobs) as pool:
            try:
                for future in as_completed([pool.submit(self._run, p) for p in parts]):
                    outcomes.append(future.result())
                    print(summary(outcomes[-1]), flush=True)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in self._processes:
                    process.terminate()
                raise
        return outcomes

    def _run(self, part: Part) -> Outcome:
        scratch = tempfile.mkdtemp(dir=self._directory)
        # Some tests are another user's.
        os.chmod(scratch, 0o711)
        path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        isCovered = self._isCovered
        if part.binding:
            path.insert(0, str(ROOT / "tools" / f"{part.binding}-only"))
            isCovered &= within(part.modules[0], DIFFERENT)
        tool = ["-m", "coverage", "run"] if isCovered else []
        variables = {"PYTHONPATH": os.pathsep.join(path), "TMPDIR": scratch}
        # Tests start many processes.  Each would compile all of memq again: a third of
        # the processor time of a server that starts and stops.
        kept = {n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"}
        if within(part.modules[0], LOADED):
            # See pyproject.toml.
            variables["MEMQ_COVERED"] = "_exit"
        began = time.monotonic()
        process = subprocess.Popen(
            [
                *(sys.executable, *tool, "-m", "twisted.trial"),
                *("--reporter=timing", f"--temp-directory={scratch}/trial"),
                *part.modules,
            ],
            cwd=ROOT,
            env=kept | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._processes.append(process)
        try:
            said, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
        took = time.monotonic() - began
        shutil.rmtree(scratch, ignore_errors=True)
        tests = {name: float(seconds) for name, seconds in _TEST.findall(said)}
        return Outcome(part, process.returncode, took, said, tests)


def summary(outcome: Outcome) -> str:
    """Return trial's counts, and all that it said when something failed."""
    title = f"{outcome.part}: {outcome.took:.1f} s"
    counts = _COUNTS.findall(outcome.said)
    if not outcome.status:
        return f"{title}\n{counts[-1]}"
    said = _TEST.sub("", outcome.said).strip()
    if not counts:
        # Counted by tools/tally.
        said += f"\nThe process ended with status {outcome.status}.\nFAILED (errors=1)"
    return f"{said}\n{title}"


def scratchParent() -> str | None:
    """Return a directory in memory that has room and runs scripts; None without one."""
    try:
        room = os.statvfs(MEMORY)
    except OSError:
        return None
    mayWrite = os.access(MEMORY, os.W_OK) and not room.f_flag & os.ST_NOEXEC
    return MEMORY if mayWrite and room.f_bavail * room.f_frsize >= ROOM else None


def remember(outcomes: list[Outcome], times: dict[str, float]) -> None:
    """Keep how long each module took, for the next run."""
    for outcome in outcomes:
        for module in outcome.part.modules:
            took = [s for name, s in outcome.tests.items() if within(name, [module])]
            times[module] = round(sum(took), 2)
    TIMES.parent.mkdir(exist_ok=True)
    TIMES.write_text(json.dumps(times, indent=1) + "\n", encoding="utf-8")


def longest(outcomes: list[Outcome]) -> str:
    """Return the tests that took longest, a line each."""
    tests = [
        (seconds, f"{name}{' on ' * bool(outcome.part.binding)}{outcome.part.binding}")
        for outcome in outcomes
        for name, seconds in outcome.tests.items()
    ]
    lines = [f"{seconds:7.1f} s  {name}" for seconds, name in sorted(tests)]
    return "\n".join(["The longest:", *lines[: -LONGEST - 1 : -1]])


def options() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module", nargs="*", default=["memq"], help="or a package")
    parser.add_argument("--without", nargs="*", default=[], metavar="MODULE")
    parser.add_argument(
        "--coverage", action="store_true", help="leave data for `coverage combine`"
    )
    parser.add_argument(
        "--bsddb3",
        nargs="*",
        default=[],
        metavar="MODULE",
        help="of these, run on this binding as well",
    )
    # One more than processors: a test waits for a server now and then.
    jobs = len(os.sched_getaffinity(0)) + 1
    parser.add_argument("--jobs", type=int, default=jobs, help="at once")
    parser.add_argument(
        "--temp",
        default=scratchParent(),
        help="where tests write; in memory if it fits",
    )
    return parser.parse_args()


def main() -> int:
    """Run all that is asked for; return the exit status."""
    asked = options()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit("suite was ended"))
    # In the background of a shell it is ignored, and children inherit that: tests of
    # Ctrl-C would wait for a process that never hears of it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    times: dict[str, float] = {}
    with suppress(OSError, ValueError):
        times = json.loads(TIMES.read_text(encoding="utf-8"))
    modules = find(asked.module, asked.without)
    parts = divide(modules, times)
    again = [module for module in modules if within(module, asked.bsddb3)]
    parts += [part._replace(binding="bsddb3") for part in divide(again, times)]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="memq-", dir=asked.temp) as directory:
        os.chmod(directory, 0o711)
        outcomes = Suite(directory, asked.coverage).run(parts, max(1, asked.jobs))
    remember(outcomes, times)
    print(longest(outcomes))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    count = sum(len(outcome.tests) for outcome in outcomes)
    print(
        f"{count} tests in {time.monotonic() - began:.0f} s, "
        f"{used.ru_utime + used.ru_stime:.0f} s of processors"
    )
    broken = [str(outcome.part) for outcome in outcomes if outcome.status]
    if broken:
        print("Failed: " + "; ".join(broken))
    return bool(broken) or not outcomes


if __name__ == "__main__":
    sys.exit(main())
