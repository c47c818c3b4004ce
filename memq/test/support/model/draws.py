"""Draws of what happens to a server: commands, or moves, rules and time."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as some

from memq.test.support.model.commands import (
    CONSTANTS,
    MAX_BODY,
    Add,
    Command,
    Set,
    StatsDetail,
    StatsQueue,
    Word,
)
from memq.test.support.model.moves import Move, Redrive, StatsPeek
from memq.test.support.model.reads import Confirm, Get, Monitor, Read

if TYPE_CHECKING:
    from memq.test.support.model.queues import Rules

#: Of clients.
people = some.integers(0, 3)
rarely = some.sampled_from([False, False, False, True])


def weighed(*kinds: tuple[some.SearchStrategy[Any], int]) -> some.SearchStrategy[Any]:
    """Return one of some, each as often as its weight says.

    ``one_of`` takes a strategy only once that is named more often.
    """
    each = [kind for kind, weight in kinds for _ in range(weight)]
    return some.sampled_from(range(len(each))).flatmap(each.__getitem__)


# Without a clock: pipelines of plain commands.

NAMES = [b"a", b"lock", b"\xc3\xa9" * 125, b"messages"]
#: Bodies are of one record, of parts, or too large.
SIZES = [0, 1, 2, 100, 1100, 65536, 65537, 131072, MAX_BODY, MAX_BODY + 1]

marks = some.integers(0, 999_999)
ofAllQueues = some.sampled_from(
    [
        Word(b"flush_all"),
        Word(b"flush_all", noreply=True),
        *[StatsQueue()] * 4,
        *CONSTANTS,
    ]
)


def plain(names: list[bytes], ofAll: bool) -> some.SearchStrategy[Command]:
    """Return commands on queues of these names.

    :param ofAll: whether there are some that concern all queues.
    """
    queue = some.sampled_from(names)
    flags = some.sampled_from([0, 1, 2**32 - 1])
    sets = some.builds(Set, queue, some.sampled_from(SIZES), marks, flags, rarely)
    several = some.lists(queue, min_size=1, max_size=4).map(tuple)
    gets = some.builds(Get, several, some.booleans())
    deletes = some.builds(Word, some.just(b"delete"), queue, noreply=rarely)
    return weighed((sets, 2), (gets, 2), (deletes, 1), (ofAllQueues, int(ofAll)))


def ofOneQueue(name: bytes, size: int) -> some.SearchStrategy[Command]:
    """Return sets and gets of one queue."""
    return some.one_of(
        some.just(Get((name,))), marks.map(lambda mark: Set(name, size, mark))
    )


def pipelines(
    names: list[bytes], ofAll: bool = True
) -> some.SearchStrategy[list[Command]]:
    """Return what a client sends at once: a bit of everything, or much of one kind."""
    name = some.sampled_from(names)
    # Such as are carried out together, and such as come and leave in parts.
    small = name.flatmap(lambda one: some.lists(ofOneQueue(one, 40), min_size=4))
    large = name.flatmap(
        lambda one: some.lists(ofOneQueue(one, 70000), min_size=2, max_size=8)
    )
    mixed = some.lists(plain(names, ofAll), min_size=1, max_size=6)
    return some.one_of(mixed, small, large)


# With a clock: moves of one command each.

#: When it begins; a whole second.
BEGIN = 1_700_000_000.0

#: Rules hand messages on to later ones of w, x, y and z only.
queues = some.sampled_from([b"w", b"w", b"w", b"x", b"y", b"z"])
#: Milliseconds that a float has without rounding as seconds.
waits = some.sampled_from([None, 0, 500, 1500, 2500, 6500])
serials = count(1)


def words(*verbs: bytes) -> some.SearchStrategy[Command]:
    """Return commands of a verb and a queue."""
    return some.builds(Word, some.sampled_from(verbs), queues)


sets = some.builds(
    Set,
    queues,
    some.sampled_from([6, 6, 30, 70000]),
    some.builds(lambda: next(serials)),
    some.sampled_from([0, 7]),
    rarely,
    some.sampled_from([0, 0, 2, 5, -1, int(BEGIN) + 9, int(BEGIN) - 9]),
    some.sampled_from([0, 0, 0, 1, 3]),
)
kinds = some.sampled_from([b"open", b"open", b"close/open", b"peek", b""])
reads = weighed(
    (some.builds(Get, some.tuples(queues), some.booleans()), 1),
    (some.builds(Get, some.tuples(queues, queues), some.booleans()), 1),
    (some.builds(Read, queues, kinds, waits), 2),
    (some.builds(Read, queues, some.sampled_from([b"close", b"abort"])), 1),
)
others = some.one_of(
    words(b"delete", b"flush", b"resume", b"resume"),
    some.builds(Word, some.just(b"pause"), queues, some.integers(1, 3)),
    some.builds(Add, queues, some.integers(0, 3)),
    ofAllQueues,
    some.builds(StatsDetail, some.sampled_from([b"*", b"w", b"y"])),
)
monitors = some.one_of(
    some.builds(Monitor, queues, some.sampled_from([0, 1, 4]), some.integers(1, 3)),
    some.builds(Confirm, queues, some.integers(1, 3)),
)
most = some.sampled_from([1, 2, 99])
transfers = some.one_of(
    some.builds(Move, queues, queues, most).filter(lambda it: it.queue != it.target),
    some.builds(Redrive, queues, most),
    some.builds(StatsPeek, queues),
)
commands = weighed((sets, 4), (reads, 5), (others, 2), (monitors, 1), (transfers, 1))
#: Of a client: a command, or its end; or that time passes, in seconds.
passing = some.sampled_from([0.5, 1.0, 2.0, 5.0])
move = weighed(
    (some.tuples(people, commands), 12),
    (some.tuples(people, passing), 1),
    (some.tuples(people, some.sampled_from([None, 1.0])), 1),
)
# Hypothesis likes lists that are shorter.
moves = some.integers(1, 36).flatmap(
    lambda most: some.lists(move, min_size=most, max_size=most)
)


def ruled(later: list[str]) -> some.SearchStrategy[dict[str, Any]]:
    """Return what can be said of a queue.

    :param later: the queues that it may hand on to.
    """
    keys: dict[str, some.SearchStrategy[Any]] = {
        "max_items": some.integers(1, 3),
        "max_bytes": some.sampled_from([20, 50]),
        "overflow": some.sampled_from(["reject", "drop-oldest"]),
        "max_age": some.sampled_from([1.5, 4.5]),
        "honor_exptime": some.just(True),
        "open_timeout": some.sampled_from([1.5, 3.5]),
        "max_deliveries": some.integers(1, 2),
        "paused": some.sampled_from(["reads", "writes", "both"]),
    }
    if later:
        keys["dead_letter"] = some.sampled_from(later)
        keys["expired_to"] = some.sampled_from(later)
        keys["fanout"] = some.lists(some.sampled_from(later), min_size=1, unique=True)
        keys["fanout_only"] = some.booleans()
    return some.fixed_dictionaries({}, optional=keys).map(consistent)


def consistent(table: dict[str, Any]) -> dict[str, Any]:
    """Leave out what does not go with the rest of a table."""
    if "max_items" not in table and "max_bytes" not in table:
        table.pop("overflow", None)
    if "fanout" not in table:
        table.pop("fanout_only", None)
    return table


tables: some.SearchStrategy[Rules] = some.fixed_dictionaries(
    {b"w": ruled(["x", "y", "z"])},
    optional={b"x": ruled(["y", "z"]), b"y": ruled(["z"]), b"z": ruled([])},
)
