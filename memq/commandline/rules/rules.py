"""Rules: those that were set online, that of a queue, and changes of them.

In a pipe columns end at a TAB, and names and values are the bytes that they are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.commandline.arguments import REFUSED, addCommand, connected
from memq.commandline.manage import refusing
from memq.commandline.terminal import isTerminal, writeAll
from memq.config.ruletext import jsonValue, readWord
from memq.config.settings import KEYS, LIST
from memq.display import numbered, shownText
from memq.errors import CommandError
from memq.wire.words import isName

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from memq.client.connection import Connection
    from memq.commandline.arguments import Add, Tell


class _Asked(NamedTuple):
    """What is asked for.

    :ivar words: behind the action.
    """

    connection: Connection
    words: list[str]
    json: bool
    tell: Tell


def addCommands(add: Add) -> None:
    """Add the subcommand."""
    does = "Show the rules that were set online, or of a queue; set and unset them."
    parser = addCommand(add, "rules", _rules, does)
    parser.add_argument("action", nargs="?", choices=tuple(_ACTIONS), default="list")
    does = (
        "a name of a queue or a pattern; set: and KEY=VALUE ...; unset: and perhaps KEY"
    )
    parser.add_argument("words", nargs="*", default=[], metavar="PATTERN", help=does)
    parser.add_argument("--json", action="store_true", help="a line for each")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="set nothing, and show which queues that would change",
    )


def _rules(options: argparse.Namespace, tell: Tell) -> int:
    action, words = options.action, options.words
    usage, least, most, run = _ACTIONS[action]
    if not least <= len(words) <= most:
        raise CommandError(f"rules {action} takes {usage}", 2)
    if words and not isName(_bytes(words[0])):
        raise CommandError(f"{words[0]!r} is no name of a queue, and no pattern", 2)
    if options.dry_run:
        if run is not _set:
            raise CommandError("--dry-run goes with set", 2)
        run = _try
    with connected(options) as connection, refusing():
        return run(_Asked(connection, words, options.json, tell))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _value(key: str, word: str) -> Any:
    """Return a value as JSON has it; of a key that only the server knows, the word."""
    return jsonValue(key, readWord(key, word)) if key in KEYS else word


def _told(asked: _Asked, command: str) -> Iterator[list[str]]:
    """Yield the words of each line that the server answers."""
    for line in asked.connection.told(_bytes(command)):
        yield line.decode("utf-8", "surrogateescape").split(" ")


def _list(asked: _Asked) -> int:
    rows = []
    for pattern, *pairs in _told(asked, "rule list"):
        said = [pair.partition("=")[::2] for pair in pairs]
        values = {key: _value(key, word) for key, word in said}
        rows.append(({"pattern": pattern, "values": values}, [pattern, *pairs]))
    if not rows and isTerminal(2):
        asked.tell(
            "no rule was set online; memq rules show QUEUE tells the file's, too"
        )
    _write(asked, rows)
    return 0


def _show(asked: _Asked) -> int:
    rows = []
    for key, word, *words in _told(asked, f"rule show {asked.words[0]}"):
        place = " ".join(words)
        told = {"key": key, "value": _value(key, word), "from": place}
        rows.append((told, [key, word, place]))
    if not rows:
        asked.tell(f"no rule has a key for {asked.words[0]}: all is as by default")
    _write(asked, rows)
    return 0


def _set(asked: _Asked) -> int:
    asked.connection.ask(_bytes(f"rule set {_said(asked.words)}"))
    return 0


def _try(asked: _Asked) -> int:
    """Show what a set would change."""
    rows = []
    for words in _told(asked, f"rule try {_said(asked.words)}"):
        queue, key, old, new = words
        told = {"queue": queue, "key": key}
        both = {"old": _value(key, old), "new": _value(key, new)}
        rows.append(({**told, **both}, words))
    _write(asked, rows)
    queues = {words[0] for _, words in rows}
    asked.tell(f"{numbered(len(queues), 'queue')} would change; nothing is set")
    return 0


def _said(words: list[str]) -> str:
    """Return a pattern with its keys and values, as words of a line."""
    pattern, *pairs = words
    said = [pattern]
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals or not pair.isprintable() or " " in value.strip():
            raise CommandError(f"{pair!r} is not KEY=VALUE without blanks", 2)
        isList = key in KEYS and KEYS[key].kind is LIST
        said += [key, value.strip() or ("[]" if isList else '""')]
    return " ".join(said)


def _unset(asked: _Asked) -> int:
    if asked.connection.ask(_bytes(" ".join(["rule unset", *asked.words]))) == b"OK":
        return 0
    pattern, *key = asked.words
    what = f"{key[0]} of {pattern}" if key else pattern
    asked.tell(f"there is no online rule {what}")
    return REFUSED


def _write(asked: _Asked, rows: list[tuple[dict[str, Any], list[str]]]) -> None:
    """Write rows as JSON, or in columns."""
    if asked.json:
        lines = [json.dumps(told) for told, _ in rows]
    elif isTerminal(1):
        shown = [[shownText(word) for word in words] for _, words in rows]
        # The first two columns are as wide as they need to be.
        wide = [max((len(row[at]) for row in shown), default=0) for at in (0, 1)]
        lines = [
            "  ".join([row[0].ljust(wide[0]), row[1].ljust(wide[1]), *row[2:]]).rstrip()
            for row in shown
        ]
    else:
        lines = ["\t".join(words) for _, words in rows]
    writeAll(1, _bytes("".join(f"{line}\n" for line in lines)))


#: What each action takes, how many words that are, and what carries it out.
_ACTIONS: dict[str, tuple[str, int, float, Callable[[_Asked], int]]] = {
    "list": ("no more words", 0, 0, _list),
    "show": ("QUEUE", 1, 1, _show),
    "set": ("PATTERN KEY=VALUE ...", 2, float("inf"), _set),
    "unset": ("PATTERN [KEY]", 1, 2, _unset),
}
