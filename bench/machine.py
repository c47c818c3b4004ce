"""The machine of a measurement, as a reader has to know it."""

from __future__ import annotations

import os
import platform
import re
import time
from typing import TYPE_CHECKING

from bench.processors import Placement, canPin

if TYPE_CHECKING:
    from pathlib import Path


def describe(home: Path) -> list[tuple[str, str]]:
    """Return what a reader has to know, as names and values."""
    return [
        ("date", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())),
        ("processor", f"{_cpu()}, {os.cpu_count()} cores"),
        ("memory", _memory()),
        ("kernel", f"{platform.system()} {platform.release().split('-')[0]}"),
        ("load before", f"{os.getloadavg()[0]:.1f}"),
        ("file system", _fileSystem(os.path.realpath(home))),
        ("one connection", Placement.APART.value if canPin() else "not pinned"),
    ]


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _cpu() -> str:
    found = re.search(r"^model name\s*: (.*)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _memory() -> str:
    found = re.search(r"^MemTotal:\s+(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    return f"{int(found[1]) / (1 << 20):.1f} GiB" if found else "unknown"


def _fileSystem(path: str) -> str:
    """Return the type of the file system with the longest mount point above path."""
    best, kind = "", "unknown"
    for line in _read("/proc/self/mounts").splitlines():
        _, mount, found, *_rest = line.split(" ")
        inside = os.path.commonpath([path, mount]) == mount
        if inside and len(mount) >= len(best):
            best, kind = mount, found
    return kind
