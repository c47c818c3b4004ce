"""Users: adds, lists and removes them in a file, without a server."""

from __future__ import annotations

import json
import sys
from getpass import getpass
from typing import TYPE_CHECKING, Any

from memq.access import userfile
from memq.access.rights import ROLES
from memq.access.secrets import LONGEST, PasswordHash, TokenHash, newToken
from memq.display import shownText
from memq.errors import CommandError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from memq.commandline.arguments import Add, Tell

#: What tells that somebody is a user.
_PROOFS = {"unix", "certificate", "token", "password"}
#: What is told once a file was written.
_KNOWN = "the server knows it after memq reload"


def addCommands(add: Add) -> None:
    """Add the subcommand."""
    does = "Add, list and remove users, in a file that the server reads."
    parser = add("user", help=does, description=does, allow_abbrev=False)
    parser.mixes = parser.hides = True
    parser.add_argument("action", nargs="?", choices=tuple(_ACTIONS), default="list")
    parser.add_argument("user", nargs="?", metavar="NAME")
    parser.add_argument(
        "--file",
        metavar="FILE",
        default=userfile.DEFAULT,
        help=f"where users stand (default: {userfile.DEFAULT})",
    )
    parser.add_argument("--json", action="store_true", help="a line for each")
    parser.add_argument(
        "--token", action="store_true", help="make a token, and write it once"
    )
    parser.add_argument(
        "--password", action="store_true", help="ask for a password, or read a line"
    )
    for option, metavar, does in (
        ("--unix", "NAME", "a system's user, or a uid, that is this one"),
        ("--certificate", "NAME", "CN=... or DNS:... of a client's certificate"),
        ("--write", "PATTERN", "queues that it may set messages to"),
        ("--read", "PATTERN", "queues that it may take messages from"),
        ("--manage", "PATTERN", "queues that it may pause, flush, move and delete"),
    ):
        parser.add_argument(
            option, metavar=metavar, action="append", help=f"{does}; once for each"
        )
    parser.add_argument(
        "--role",
        choices=tuple(ROLES),
        help="admin may do all, monitor may see all but messages",
    )
    parser.set_defaults(run=_user)


def _user(options: argparse.Namespace, tell: Tell) -> int:
    asked = [
        key for key in ("role", *_LISTS, "token", "password") if _has(options, key)
    ]
    if options.action != "add" and asked:
        raise CommandError(f"--{asked[0]} goes with add", 2)
    if (options.user is None) != (options.action == "list"):
        takes = "no more words" if options.action == "list" else "NAME"
        raise CommandError(f"user {options.action} takes {takes}", 2)
    _ACTIONS[options.action](options, tell)
    return 0


def _has(options: argparse.Namespace, key: str) -> bool:
    return bool(getattr(options, key))


def _list(options: argparse.Namespace, tell: Tell) -> None:
    for user in userfile.listed(userfile.readFile(options.file)):
        told = user._asdict()
        if options.json:
            print(json.dumps(told))
            continue
        words = [user.name, *([f"role={user.role}"] if user.role else [])]
        keys = ("proofs", "write", "read", "manage")
        words += [f"{key}={','.join(told[key])}" for key in keys if told[key]]
        print(shownText(" ".join(words)))


def _add(options: argparse.Namespace, tell: Tell) -> None:
    if options.token and options.password:
        raise CommandError("--token does not go with --password", 2)
    text = userfile.readFile(options.file)
    values: dict[str, Any] = {
        key: getattr(options, key) for key in ("role", *_LISTS) if _has(options, key)
    }
    if options.unix:
        values["unix"] = [int(n) if n.isdecimal() else n for n in options.unix]
    token = newToken() if options.token else None
    if token is not None:
        values["token"] = str(TokenHash.of(token.encode()))
    # Nobody is asked for the password of one who cannot be.
    made = userfile.added(text, options.user, values)
    if options.password:
        values["password"] = str(PasswordHash.of(_askPassword()))
        made = userfile.added(text, options.user, values)
    userfile.writeFile(options.file, made)
    if token is not None:
        print(token, flush=True)
    known = _KNOWN
    if not values.keys() & _PROOFS:
        known += (
            "; it has no password, token, uid or certificate: only a listener is it"
        )
    tell(f"user {options.user} stands in {options.file}; {known}")


def _askPassword() -> bytes:
    """Return a password, which is never on a command line."""
    if sys.stdin.isatty():
        try:
            password = getpass("Password: ")
            again = getpass("Once more: ")
        except EOFError:
            raise CommandError("no password was typed") from None
        if again != password:
            raise CommandError("the two differ")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    said = password.encode("utf-8", "surrogateescape")
    if not 0 < len(said) <= LONGEST:
        raise CommandError(f"a password has 1 to {LONGEST} bytes")
    return said


def _remove(options: argparse.Namespace, tell: Tell) -> None:
    text = userfile.readFile(options.file)
    userfile.writeFile(options.file, userfile.removed(text, options.user))
    tell(f"user {options.user} is gone from {options.file}; {_KNOWN}")


_LISTS = ("unix", "certificate", "write", "read", "manage")
_ACTIONS: dict[str, Callable[[argparse.Namespace, Tell], None]] = {
    "list": _list,
    "add": _add,
    "remove": _remove,
}
