"""How long the tests go on that inject faults: briefly, or as long as a person says.

They take their rounds from here.  MEMQ_TORTURE_SECONDS makes each of them go on for
so long instead of its few rounds; ``make torture`` sets it.  MEMQ_TORTURE_REPORT names
a file that gets a line of JSON for each: which test, and what it counted.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def rounds(
    few: int,
    environ: Mapping[str, str] = os.environ,
    seconds: Callable[[], float] = monotonic,
) -> Iterator[int]:
    """Yield the numbers of the rounds, from 0.

    :param few: how many there are when nothing else is said; at least one, always.
    """
    limit = environ.get("MEMQ_TORTURE_SECONDS")
    end = seconds() + float(limit or 0)
    number = 0
    while True:
        yield number
        number += 1
        if seconds() >= end if limit else number >= few:
            return


def whole(few: int, all: int, environ: Mapping[str, str] = os.environ) -> int:
    """Return how much there is of something in a round: few, or all when it is long."""
    return all if environ.get("MEMQ_TORTURE_SECONDS") else few


@contextmanager
def told(words: str) -> Iterator[None]:
    """Say with whatever fails what it was that failed, the seed for example."""
    try:
        yield
    except BaseException as error:
        # Trial shows no notes.
        error.args = (f"{words}: {error}",)
        raise


def report(
    name: str, environ: Mapping[str, str] = os.environ, **figures: object
) -> None:
    """Write down what a test counted, if that is asked for."""
    path = environ.get("MEMQ_TORTURE_REPORT")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"test": name, **figures}) + "\n")
