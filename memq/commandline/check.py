"""Check: is the server there, does it take messages, do queues keep to their bounds.

The lines and exit statuses are those of a plugin of Nagios, after its guidelines: 0 OK,
1 WARNING, 2 CRITICAL, 3 UNKNOWN; behind ``|`` stand figures, as
``'label'=value[unit];warning;critical``.
"""

from __future__ import annotations

import argparse
import json
import os
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from memq.client.connection import ServerRefused
from memq.client.figures import detail
from memq.commandline.arguments import addCommand, connected
from memq.commandline.terminal import writeAll
from memq.display import shownName
from memq.errors import CommandError, ConfigError
from memq.wire.words import isName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memq.client.connection import Connection
    from memq.commandline.arguments import Add, Tell

WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
OK, WARNING, CRITICAL, UNKNOWN = range(4)


class Bound(NamedTuple):
    """A bound of a queue: from where on it is a warning, and from where on critical."""

    queue: bytes
    warning: float | None
    critical: float


class Kind(NamedTuple):
    """A kind of bound: its figure, in which unit, and on which side of it is trouble.

    :ivar scale: what the figure is divided by.
    """

    label: str
    figure: str
    unit: str = ""
    scale: int = 1
    least: bool = False


class Result(NamedTuple):
    """A thing that was looked at."""

    status: int
    label: str
    words: str
    value: float
    unit: str = ""
    warning: float | None = None
    critical: float | None = None


#: The options that have a bound.
KINDS = {
    "max_age": Kind("age", "age", "s", 1000),
    "max_messages": Kind("messages", "items"),
    "min_waiters": Kind("waiters", "waiters", least=True),
}


def addCommands(add: Add) -> None:
    """Add the subcommand."""
    does = "Check the server and bounds of queues, as Nagios has it."
    parser = addCommand(add, "check", _check, does)
    parser.mistake = UNKNOWN
    for option, does in (
        ("--max-age", "seconds that the next message may be old"),
        ("--max-messages", "messages that may wait"),
        ("--min-waiters", "readers that have to wait"),
    ):
        parser.add_argument(
            option,
            action="append",
            default=[],
            type=partial(_bound, KINDS[option[2:].replace("-", "_")]),
            metavar="QUEUE=[WARNING:]CRITICAL",
            help=f"{does}; may be repeated",
        )
    parser.add_argument(
        "--ready", action="store_true", help="whether the server takes messages"
    )
    parser.add_argument(
        "--format",
        choices=("nagios", "json", "text"),
        default="nagios",
        help="of the result (default: nagios)",
    )


def _bound(kind: Kind, text: str) -> Bound:
    name, equals, bounds = text.rpartition("=")
    numbers = bounds.split(":")
    queue = os.fsencode(name)
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        values = []
    if not equals or not isName(queue) or not 1 <= len(values) <= 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not QUEUE=[WARNING:]CRITICAL")
    first, last = values[0], values[-1]
    if first < last if kind.least else first > last:
        which = "less" if kind.least else "more"
        raise argparse.ArgumentTypeError(
            f"{text!r}: the warning, {first:g}, is {which} than the critical one, and "
            "would never be given"
        )
    return Bound(queue, first if len(values) == 2 else None, last)


def _check(options: argparse.Namespace, tell: Tell) -> int:
    try:
        with connected(options) as connection:
            results = list(_look(options, connection))
    except (ConfigError, ServerRefused) as error:
        # It answers, and that is the question: a container asks without a secret.
        asksWho = isinstance(error, ServerRefused) and error.asksWho
        isAll = asksWho and not (options.ready or any(_bounds(options)))
        status, words = (OK, _ASKS) if isAll else (UNKNOWN, str(error))
        results = [Result(status, "server", words, int(isAll))]
    except CommandError as error:
        status = UNKNOWN if error.status == 2 else CRITICAL
        results = [Result(status, "server", str(error), 0)]
    writeAll(1, f"{FORMATS[options.format](results)}\n".encode())
    return max(result.status for result in results)


#: Is told of a server that wants to know who asks.
_ASKS = "memq answers, and asks who this is"


def _look(options: argparse.Namespace, connection: Connection) -> Iterator[Result]:
    """Yield what is found."""
    figures = dict(connection.figures())
    uptime = int(figures[b"uptime"])
    version = figures[b"version"].decode()
    yield Result(OK, "uptime", f"memq {version}, up {uptime} s", uptime, "s")
    if options.ready:
        refused = figures.get(b"sets_refused", b"no").decode()
        status = OK if refused == "no" else CRITICAL
        words = "takes messages" if status == OK else f"refuses messages: {refused}"
        yield Result(status, "refuses", words, int(status != OK))
    for name, bound in _bounds(options):
        yield _hold(connection, KINDS[name], bound)


def _bounds(options: argparse.Namespace) -> Iterator[tuple[str, Bound]]:
    """Yield the bounds that are asked for, each with its option."""
    for name in KINDS:
        yield from ((name, bound) for bound in getattr(options, name))


def _hold(connection: Connection, kind: Kind, bound: Bound) -> Result:
    """Hold a queue to a bound."""
    found = detail(connection, bound.queue)
    name = shownName(bound.queue)
    label = f"{name}_{kind.label}"
    if found.numbers and kind.figure not in found.numbers:
        words = f"the server does not tell the {kind.label} of {name}"
        return Result(UNKNOWN, label, words, 0)
    value = found.number(kind.figure) / kind.scale
    status = OK
    for worse, edge in ((WARNING, bound.warning), (CRITICAL, bound.critical)):
        if edge is not None and (value < edge if kind.least else value > edge):
            status = worse
    words = f"{name} {kind.label} {value:g}{kind.unit}"
    if status != OK:
        edge = bound.critical if status == CRITICAL else bound.warning
        words += f" ({'less' if kind.least else 'more'} than {edge:g})"
    return Result(status, label, words, value, kind.unit, bound.warning, bound.critical)


def _worst(results: list[Result]) -> str:
    return WORDS[max(result.status for result in results)]


def _nagios(results: list[Result]) -> str:
    """Return a plugin's line: words of what is wrong, or of all, and figures."""
    worst = max(result.status for result in results)
    words = "; ".join(each.words for each in results if each.status or not worst)
    figures = " ".join(map(_figure, results))
    # A | in words would begin the figures.
    return f"MEMQ {WORDS[worst]} - {words.replace('|', '/')} | {figures}"


def _figure(result: Result) -> str:
    edges = [
        "" if edge is None else f"{edge:g}"
        for edge in (result.warning, result.critical)
    ]
    label = result.label.replace("'", "''").replace("=", "_").replace("|", "/")
    tail = ";".join(["", *edges]).rstrip(";")
    return f"'{label}'={result.value:g}{result.unit}{tail}"


def _json(results: list[Result]) -> str:
    checks = [{**each._asdict(), "status": WORDS[each.status]} for each in results]
    return json.dumps({"status": _worst(results), "checks": checks})


def _text(results: list[Result]) -> str:
    return "\n".join(f"{WORDS[each.status]}: {each.words}" for each in results)


FORMATS: dict[str, Callable[[list[Result]], str]] = {
    "nagios": _nagios,
    "json": _json,
    "text": _text,
}
