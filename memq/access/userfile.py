"""The file of users: adds, lists and removes tables, and leaves all else as it is.

Functions of a file's text return another text.  What they make is read again, and has
to be what was meant: a text that TOML can say in another way is refused, and a person
edits it.  The file is written whole, beside the old one, with its owner and its mode
(0640 if it is new), synced, and put in its place: a crash leaves the old one or the new
one.
"""

from __future__ import annotations

import grp
import json
import os
import re
import stat
import tomllib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.access.secrets import checkPrivate, readPrivate
from memq.access.users import KEYS, isUserName, readUsers
from memq.config.toml import LARGEST, TOMLFile
from memq.display import tomlKey
from memq.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Where it is.
DEFAULT = "/etc/memq/users.toml"
#: The mode of a new one, and the group that the packaged server runs in.
_MODE, _GROUP = 0o640, "memq"
_HEAD = "# Users of memq.  memq user adds and removes tables, and keeps all else.\n"
#: The line of a table.
_TABLE = re.compile(r"[ \t]*\[.*")
#: The keys that say how somebody can prove to be a user.
PROOFS = ("unix", "certificate", "token", "password", "password-file")


class Told(NamedTuple):
    """What is told of a user.

    :ivar proofs: how it can prove to be that: keys.
    """

    name: str
    role: str
    proofs: tuple[str, ...]
    write: Sequence[str]
    read: Sequence[str]
    manage: Sequence[str]


def readFile(path: str) -> str:
    """Return the text of a file; an empty one for none.

    :raise memq.errors.ConfigError: when it cannot be taken as it is.
    """
    if not os.path.lexists(path):
        return ""
    file = TOMLFile.decode(path, readPrivate(path, LARGEST))
    readUsers(file, file.parse().get("user", {}))
    return file.text


def listed(text: str) -> list[Told]:
    """Return what the tables of a text say, in their order."""
    return [
        Told(
            name,
            table.get("role", ""),
            tuple(key for key in PROOFS if key in table),
            *(table.get(key, ()) for key in ("write", "read", "manage")),
        )
        for name, table in _tables(text).items()
    ]


def added(text: str, name: str, values: Mapping[str, Any]) -> str:
    """Return a text with one more user.

    :param values: of KEYS: texts, or lists of texts and numbers.
    :raise memq.errors.CommandError: when there is such a user, or a value cannot be.
    """
    if not isUserName(name):
        raise CommandError(
            f"{name!r} is no name of a user: 1 to 64 letters of ASCII, but no "
            "blank, quote, : or \\",
            2,
        )
    users = _tables(text)
    if name in users:
        raise CommandError(f"there is a user {name}; remove it first, or edit the file")
    keys = [key for key in KEYS if key in values]
    for key in keys:
        try:
            KEYS[key](TOMLFile("", ""), values[key])
        except ValueError as error:
            raise CommandError(f"{key} {error}", 2) from None
    # Their texts are those of TOML: no value has anything that cannot be printed.
    lines = [f"{key} = {json.dumps(values[key], ensure_ascii=False)}\n" for key in keys]
    begin = text or _HEAD
    if not begin.endswith("\n"):
        begin += "\n"
    made = "".join([begin, f"\n[user.{tomlKey(name)}]\n", *lines])
    return _checked(made, {**users, name: dict(values)})


def removed(text: str, name: str) -> str:
    """Return a text without a user, and without the comments in its table.

    :raise memq.errors.CommandError: when there is none of that name, or it does not
        stand in a table of its own.
    """
    users = _tables(text)
    if name not in users:
        raise CommandError(f"there is no user {name}", 3)
    kept: list[str] = []
    ours: list[str] = []
    isOurs = False
    for line in re.findall(r".*\n|.+$", text):
        if _TABLE.match(line):
            # Comments above a table are about that.
            at = len(ours)
            while at and ours[at - 1].lstrip().startswith("#"):
                at -= 1
            kept += ours[at:]
            ours.clear()
            isOurs = _isTable(line, name)
        (ours if isOurs else kept).append(line)
    del users[name]
    return _checked("".join(kept), users)


def _isTable(line: str, name: str) -> bool:
    """Return whether a line begins the table of a user."""
    try:
        return tomllib.loads(line) == {"user": {name: {}}}
    except tomllib.TOMLDecodeError:
        # It is a line of something longer.
        return False


def _tables(text: str) -> dict[str, Any]:
    users: dict[str, Any] = tomllib.loads(text).get("user", {})
    return users


def _checked(text: str, users: Mapping[str, Any]) -> str:
    """Return a text; raise CommandError when it does not say what was meant."""
    try:
        isRight = _tables(text) == users
    except tomllib.TOMLDecodeError:
        isRight = False
    if not isRight:
        raise CommandError("the file says that in a way of its own: please edit it")
    return text


def writeFile(path: str, text: str) -> None:
    """Write a file whole.

    :raise memq.errors.ConfigError: when it could not be read again.
    :raise OSError: when it cannot be written; the old one stays.
    """
    file = TOMLFile(path, text)
    readUsers(file, file.parse().get("user", {}))
    # What a link leads to is the file.
    real = os.path.realpath(path)
    beside = real + ".new"
    with suppress(FileNotFoundError):
        os.unlink(beside)
    made = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(made, "w", encoding="utf-8") as new:
            _copyOwner(real, made)
            new.write(text)
            new.flush()
            os.fsync(made)
        os.replace(beside, real)
    except BaseException:
        os.unlink(beside)
        raise
    directory = os.open(os.path.dirname(real), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _copyOwner(path: str, made: int) -> None:
    """Give a new file the owner and the mode of the old one, if there is one.

    Else it is for the group of the server, if that may be said.
    """
    try:
        old = os.stat(path)
    except FileNotFoundError:
        os.fchmod(made, _MODE)
        with suppress(KeyError, PermissionError):
            os.fchown(made, -1, grp.getgrnam(_GROUP).gr_gid)
        return
    checkPrivate(path, old.st_mode)
    os.fchown(made, old.st_uid, old.st_gid)
    os.fchmod(made, stat.S_IMODE(old.st_mode))
