"""Profiles of memq: cProfile by time, callgrind by instructions.

`python -m bench.profiles` runs both on a fixed load and leaves what they wrote in
var/profile.  callgrind is left out where valgrind is not installed.
"""

from __future__ import annotations

import os
import pstats
import re
import shutil
import subprocess
import sys
from pathlib import Path

from bench.measure import VERBS, Load, Row, progress
from bench.servers import Kind, Server, memqCommand
from bench.workspace import ROOT, build, workspace

#: Operations of each verb under cProfile, and under callgrind.
PROFILED, COUNTED = 60000, 2000


def profile(load: Load, root: Path, words: tuple[str, ...], path: Path) -> list[Row]:
    """Run memq under cProfile with a fixed load; return the costliest functions."""
    tool = ("--profile", str(path), "--profiler", "cprofile", "--savestats")
    kind = _kind(lambda port, home: [*memqCommand(port, home, *tool), *words])
    server = Server(kind, root)
    try:
        server.start()
        seen = [load.run(server, mode, n=PROFILED, c=50) for mode in VERBS]
    finally:
        server.close()
    if not all(result.good for result in seen):
        progress("thrown away: wrong or empty replies")
        return []
    return rowsOf(path)


def rowsOf(path: Path) -> list[Row]:
    """Return the functions of a profile, costliest first, without the waiting."""
    stats = pstats.Stats(str(path)).stats  # type: ignore[attr-defined]
    rows = []
    for (file, _, name), (_, calls, own, _, _) in stats.items():
        if "poll" in name and "epoll" in name:
            continue
        rows.append((own, calls, _label(file, name)))
    total = sum(own for own, _, _ in rows)
    rows.sort(reverse=True)
    return [Row(100 * o / total, c / (2 * PROFILED), label) for o, c, label in rows]


def count(load: Load, root: Path, words: tuple[str, ...], path: Path) -> list[str]:
    """Run memq under callgrind; return a line for each verb, and the costliest."""
    said = []
    for mode in VERBS:
        output = path.with_name(f"{path.name}-{mode}")
        _runCounted(load, root, words, output, mode)
        found = _annotated(output)
        total = int(found[0].split()[0].replace(",", "")) if found else 0
        said.append(f"{mode}: {total // COUNTED:,} instructions an operation")
        said += found[1:]
    return said


def _runCounted(
    load: Load, root: Path, words: tuple[str, ...], output: Path, mode: str
) -> None:
    tool = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet"]
    tool += [f"--callgrind-out-file={output}", sys.executable]
    kind = _kind(lambda port, home: [*tool, *memqCommand(port, home), *words])
    server = Server(kind, root)
    try:
        server.start()
        if mode == "get":
            load.run(server, "set", n=COUNTED, c=50)
        _switch(server, "on")
        load.run(server, mode, n=COUNTED, c=50)
        _switch(server, "off")
    finally:
        server.close()


def _switch(server: Server, state: str) -> None:
    subprocess.run(
        ["callgrind_control", "-i", state, str(server.pid)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=True,
    )


def _annotated(output: Path) -> list[str]:
    """Return the total and the costliest functions, a line each."""
    done = subprocess.run(
        ["callgrind_annotate", "--inclusive=no", "--threshold=70", str(output)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        text=True,
    )
    said = done.stdout.splitlines()
    lines = [line for line in said if re.match(r"\s*[\d,]+ \(", line)]
    # A line ends in file:function [library]; a stripped library has addresses only.
    return [re.sub(r"\S*:(\S+)( \[(?:.*/)?(.*)\])?$", r"\1 \3", x) for x in lines[:17]]


def _kind(command: object) -> Kind:
    return Kind("memq", "", True, "memcache", command)  # type: ignore[arg-type]


def _label(file: str, name: str) -> str:
    if file == "~":
        return name.strip("<>").replace("built-in ", "").replace("|", " ")
    return f"{Path(file).parent.name}/{Path(file).name}: {name}"


def main() -> None:
    """Profile memq both durable and not synced, and print what is found."""
    kept = ROOT / "var" / "profile"
    kept.mkdir(parents=True, exist_ok=True)
    with workspace(ROOT / "var") as root:
        load = Load(build(root))
        for name, words in (("durable", ()), ("no-sync", ("--no-sync",))):
            progress(f"cProfile, {name}")
            path = kept / f"{name}.pstats"
            print(f"\n{name}: {PROFILED} sets, then gets, from 50 connections")
            for row in profile(load, root, words, path)[:25]:
                print(f"{row.share:5.1f} %  {row.calls:7.3f} calls  {row.name}")
            if not shutil.which("valgrind"):
                continue
            progress(f"callgrind, {name}")
            path = kept / f"{name}-callgrind"
            print(f"\n{name}: {COUNTED} operations from 50 connections, counted")
            print("\n".join(count(load, root, words, path)))
    print(f"\nKept in {os.path.relpath(kept)}")


if __name__ == "__main__":
    main()
