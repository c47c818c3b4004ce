"""A damaged home: the note for the next start, and the swap for what was salvaged.

``HOME/memq/damaged`` holds one line that says what was found damaged while the store
ran.  As long as it is there no store is opened, or every restart would come back to the
same damaged page, and each time a client would be told an error instead of its message.

A salvage builds new files beside the old ones, and the swap puts them in their place.
The old ones stay, in ``HOME/memq.damaged`` (or ``.damaged.2`` and so on).  The lock
stays where it is, held: nobody can make a new home in between.

``HOME/memq/swap`` holds one line while that is under way: ``out NAME`` while the old
files move to HOME/NAME, ``in NAME`` while the new ones take their places.  Until it is
written nothing has moved; from then on the swap goes on after a crash, whatever
options the next start has.  VERSION stays until the new one replaces it, so that a
memq that does not know of swaps does not take this for a new home.
"""

from __future__ import annotations

import os
import re
import shutil

from memq.errors import DamagedHome, DamagedStore, UnusableHome
from memq.storage.datadir.files import readFile, replaceFile, syncDirectory

#: Advice about damage.
ADVICE = "restore HOME/memq from a backup, or start with --skip-damaged"
_DAMAGE = "damaged"

#: Where the new files are built, below HOME/memq: a home of its own.
WORK = "salvaging"
#: A file in it that goes with the old files, and tells of them.
REPORT = "UNREADABLE"
_SWAP = "swap"
#: The rules that clients have made (memq/config/online.py), which no salvage makes.
RULES = "rules.toml"
_STAYS = ("lock", _SWAP, f"{_SWAP}.new", WORK, "VERSION", RULES)
#: Files that hold zeros only.
_WORTHLESS = ("ahead", "ballast")
_LINE = re.compile(r"(in|out) (memq\.damaged(?:\.[0-9]+)?)")


def noteDamage(directory: str, error: DamagedStore) -> None:
    """Write down what is damaged.

    :raise OSError: when that cannot be; the next start finds out by itself.
    """
    line = " ".join(str(error).split())
    path = os.path.join(directory, _DAMAGE)
    replaceFile(path, line.encode("utf-8", "replace") + b"\n")


def refuseDamaged(directory: str) -> None:
    """Refuse a home in which something was found damaged."""
    path = os.path.join(directory, _DAMAGE)
    line = readFile(path, 1000)
    if line is not None:
        text = " ".join(line.decode("utf-8", "replace").split())
        raise DamagedHome(f"{path} says: {text}; {ADVICE}")


def beginSwap(directory: str) -> str:
    """Swap what is in ``directory`` for what was built below it.

    :return: where the old files are then.
    :raise UnusableHome: when HOME is on another file system; nothing is changed.
    :raise OSError: when the disk fails; a later start goes on.
    """
    home = os.path.dirname(directory)
    if os.stat(home).st_dev != os.stat(directory).st_dev:
        raise UnusableHome(
            f"{directory} is a file system of its own, and the damaged files cannot "
            f"be moved out of it to {home}; move all of it by hand first"
        )
    number, name = 1, "memq.damaged"
    while os.path.lexists(os.path.join(home, name)):
        number += 1
        name = f"memq.damaged.{number}"
    replaceFile(os.path.join(directory, _SWAP), f"out {name}\n".encode())
    finishSwap(directory)
    return os.path.join(home, name)


def finishSwap(directory: str) -> None:
    """Go on with a swap that was begun; no-op when there is none.

    :raise DamagedHome: when it cannot be told how far it was.
    :raise OSError: when the disk fails; a later start goes on.
    """
    path = os.path.join(directory, _SWAP)
    line = readFile(path, 100)
    if line is None:
        return
    found = _LINE.fullmatch(line.decode("ascii", "replace"))
    if not found:
        raise DamagedHome(
            f"{path} is damaged: it should say 'out' or 'in', and the name of the "
            "directory beside this one that the old files went to; see which files "
            "are where, and write it again"
        )
    if found[1] == "out":
        _moveOut(directory, os.path.join(os.path.dirname(directory), found[2]))
        replaceFile(path, f"in {found[2]}\n".encode())
    _moveIn(directory)
    work = os.path.join(directory, WORK)
    if os.path.exists(work):
        shutil.rmtree(work)
    os.unlink(path)
    syncDirectory(directory)


def _moveOut(directory: str, aside: str) -> None:
    os.makedirs(aside, 0o700, exist_ok=True)
    for name in os.listdir(directory):
        if name in _WORTHLESS:
            os.unlink(os.path.join(directory, name))
        elif name not in _STAYS:
            os.rename(os.path.join(directory, name), os.path.join(aside, name))
    version = os.path.join(directory, "VERSION")
    if os.path.exists(version):
        shutil.copyfile(version, os.path.join(aside, "VERSION"))
    report = os.path.join(directory, WORK, REPORT)
    if os.path.exists(report):
        os.rename(report, os.path.join(aside, REPORT))
    for changed in (aside, os.path.dirname(aside), directory):
        syncDirectory(changed)


def _moveIn(directory: str) -> None:
    built = os.path.join(directory, WORK, "memq")
    if not os.path.exists(built):
        # It was all moved, and only the end of the swap is left.
        return
    for name in os.listdir(built):
        if name != "lock":
            os.replace(os.path.join(built, name), os.path.join(directory, name))
    syncDirectory(directory)
