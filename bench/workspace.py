"""Working directories of a measurement, on a real disk, and the load generator."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent


def build(root: Path, name: str = "load", *words: str) -> str:
    """Build one of the programs in C, the load generator; return its path.

    :param words: for the compiler.
    :raise SystemExit: there is no C compiler, or it failed.
    """
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        raise SystemExit(f"bench/{name}.c needs a C compiler")
    path = str(root / name)
    source = str(ROOT / "bench" / f"{name}.c")
    command = [compiler, "-O2", *words, "-o", path, source]
    subprocess.run(command, check=True, timeout=120)
    return path


@contextlib.contextmanager
def workspace(parent: Path) -> Iterator[Path]:
    """Give a directory for homes, on the disk of a directory; it goes at the end."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent) as path:
        yield Path(path)
