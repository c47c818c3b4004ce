"""Queue details: the answers to ``stats``, ``stats detail`` and ``dump_stats``.

There may be very many queues.  Which ones are told is decided once; each is then looked
at when its turn has come, some in each slice, and left out when it is gone by then.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from itertools import compress, repeat
from typing import TYPE_CHECKING, Any

from memq.commands.gets import renderRest
from memq.config.settings import inForce
from memq.errors import QueueError
from memq.figures import AS_THEY_ARE, Heads, Sums, lateness
from memq.message import Message
from memq.operations.base import MESSAGE_COST, Ask, Slice
from memq.policy.patterns import Pattern
from memq.wire.figures import FIGURES, QueueFigures, formatKestrel, formatMessage
from memq.wire.forms import END

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from memq.access.rights import Rights
    from memq.commands.dialogue import Dialogue
    from memq.interfaces import IQueueStore
    from memq.operations.base import Client
    from memq.policy.effective import Policies
    from memq.wire.forms import Form

    _Format = Callable[[Iterable[QueueFigures]], bytes]

#: The names of figures in QueueDetail, where those are others.
_FIELDS = {"age": "headTime", "deliveries": "returns"}
#: Queues that are told in one go.
AT_ONCE = 64
#: How many ``stats`` tells one by one: 200 are 50 KB, told in 10 ms.
TOLD = 200
#: Queues that are added up in one go, in less than a millisecond.
SUMMED = 4096
#: The cost of one of them in a turn.
SUM_COST = 10
#: The cost of a queue that is told, in a turn.
QUEUE_COST = 3 * MESSAGE_COST


class Details:
    """Look at queues."""

    def __init__(
        self,
        policies: Policies,
        waiters: Callable[[bytes], int],
        refused: Callable[[bytes], list[int]],
        timeOfDay: Callable[[], float],
        lacks: Collection[str] = (),
        seconds: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Take what is known of queues beside the store.

        :param policies: what holds for them.
        :param waiters: returns how many reads wait for a message of one.
        :param refused: returns how many sets one refused, for each reason.
        :param timeOfDay: tells the time, in seconds since 1970-01-01 UTC.
        :param lacks: the figures that are not known, by the names of QueueDetail.
        :param seconds: tells the time, by the clock that surveys go by.
        """
        self._seconds = seconds
        isKnown = [_FIELDS.get(name, name) not in lacks for name in FIGURES]
        self._isKnown = None if all(isKnown) else isKnown
        self._known = tuple(compress(FIGURES, isKnown))
        self._policies = policies
        self._waiters = waiters
        self._refused = refused
        self._timeOfDay = timeOfDay

    def rows(
        self, store: IQueueStore, queues: Iterable[bytes], late: float = 0.0
    ) -> Iterator[QueueFigures]:
        """Yield what is to be told of some queues, of those that there are.

        :param late: for how many seconds a head is told as it was.
        """
        heads = Heads(self._seconds(), late) if late else AS_THEY_ARE
        columns = store.details(queues, heads).columns
        names = columns[0]
        rules: Iterable[Sequence[tuple[str, str]]] = repeat(())
        if self._policies.isActive:
            rules = map(self._rule, names)
        figures = self._figures(columns)
        for name, refused, rule, row in zip(
            names, map(self._refused, names), rules, figures, strict=False
        ):
            told = [*row, *refused]
            if self._isKnown is not None:
                told = list(compress(told, self._isKnown))
            yield QueueFigures(name, told, rule, self._known)

    def _figures(self, columns: Sequence[Sequence[Any]]) -> Iterator[tuple[int, ...]]:
        """Return the figures of each queue but for what it refused."""
        now = int(self._timeOfDay() * 1000)
        names, items, size, opened, delayed, pushed, taken, closed, expired = columns[
            :9
        ]
        discarded, returns, _, _, heads, _ = columns[9:]
        ages = [max(0, now - head) if head else 0 for head in heads]
        waiters = map(self._waiters, names)
        return zip(
            *(items, size, ages, pushed, taken, closed, expired, discarded),
            *(opened, waiters, delayed, returns),
            strict=True,
        )

    def head(self, queue: bytes, store: IQueueStore) -> bytes:
        """Return what is told of the message that a read would find next.

        :raise memq.errors.QueueError: when it is damaged, or cannot be read.
        """
        message = store.peek(queue)
        if message is None:
            return END
        if not isinstance(message, Message):
            raise message
        now = int(self._timeOfDay() * 1000)
        return formatMessage(message, now, store.deliveries(message))

    def describe(self, queue: bytes, store: IQueueStore) -> bytes:
        """Return words of a queue and of its next message; b"" if there is no queue."""
        told = [pair for row in self.rows(store, [queue]) for pair in row.named()]
        if told and isinstance(store.peek(queue), Message):
            for line in self.head(queue, store).splitlines()[:-1]:
                _, name, value = line.split(b" ")
                told.append((b"head_" + name, value))
        # A rule may have several words.
        return b" ".join(
            [b"%b=%b" % (name, value.replace(b" ", b"_")) for name, value in told]
        )

    def _rule(self, queue: bytes) -> list[tuple[str, str]]:
        """Return what is in force, by the file or by the store."""
        policy = self._policies.told(queue)
        if policy is None:
            return []
        rule = policy.rule._replace(maxItems=policy.maxItems, paused=policy.paused)
        return inForce(rule)


class Telling(ABC):
    """One answer of many parts, each about some things.

    :ivar queues: the names of those that are told; known after the first ``tell``.
    """

    def __init__(self) -> None:
        self.queues: list[bytes] = []

    @property
    def atOnce(self) -> int:
        """Return how many queues one ``tell`` is for."""
        return AT_ONCE

    @property
    def idleCost(self) -> int:
        """Return what one counts in a turn."""
        return QUEUE_COST * AT_ONCE

    def stop(self, start: int) -> int:
        """Return where the part ends that begins at a place."""
        return start + self.atOnce

    def tell(self, start: int, store: IQueueStore) -> bytes:
        """Return the answer from one queue on, as far as AT_ONCE goes, or its end."""
        if start == 0:
            self.queues = self._names(store)
        return self._part(start, store)

    def _part(self, start: int, store: IQueueStore) -> bytes:
        stop = start + AT_ONCE
        told = self._told(slice(start, stop), store)
        return told + END if stop >= len(self.queues) else told

    @abstractmethod
    def _names(self, store: IQueueStore) -> list[bytes]:
        """Return the names of those that are to be told."""

    @abstractmethod
    def _told(self, which: slice, store: IQueueStore) -> bytes:
        """Return what is told of some of ``queues``."""


class Listing(Telling):
    """The figures of queues."""

    def __init__(
        self,
        details: Details,
        form: _Format,
        pattern: bytes = b"",
        rights: Rights | None = None,
    ) -> None:
        """Begin.

        :param form: makes bytes of what is told.
        :param pattern: what the names of the queues match; b"" for any.
        :param rights: of whom it is told, who sees some queues; None for all.
        """
        super().__init__()
        self._details = details
        self._form = form
        self._pattern = pattern
        self._rights = rights

    def _told(self, which: slice, store: IQueueStore) -> bytes:
        queues = self.queues[which]
        if self._rights is not None:
            queues = self._rights.seen(queues)
        late = lateness(len(self.queues))
        return self._form(self._details.rows(store, queues, late))

    def _names(self, store: IQueueStore) -> list[bytes]:
        return names(store, self._pattern)


def names(store: IQueueStore, pattern: bytes) -> list[bytes]:
    """Return the names of queues that match a pattern, b"" for all, in their order.

    All of them are looked at in one go, so no figures are.
    """
    found = store.names()
    return sorted(filter(Pattern(pattern).matches, found) if pattern else found)


class Summary(Listing):
    """The answer to ``stats``: figures of them all, and of each if they are few."""

    def __init__(
        self,
        details: Details,
        form: Callable[[IQueueStore, Sums, int], bytes],
        ofEach: bool,
    ) -> None:
        """Begin.

        :param form: makes bytes of what the queues have together, and of how many are
            left out.
        :param ofEach: whether to tell each, if there are no more than TOLD.
        """
        super().__init__(details, formatKestrel)
        self._all = form
        self._ofEach = ofEach
        #: The sums so far, by the place of the first queue: a turn may be undone.
        self._sums: dict[int, Sums] = {}

    @property
    def atOnce(self) -> int:
        """Return how many queues one ``tell`` is for."""
        return AT_ONCE if self._tellsEach else SUMMED

    @property
    def idleCost(self) -> int:
        """Return what one counts in a turn."""
        if self._tellsEach:
            return MESSAGE_COST + QUEUE_COST * min(AT_ONCE, len(self.queues))
        return MESSAGE_COST + SUM_COST * SUMMED

    @property
    def _tellsEach(self) -> bool:
        return self._ofEach and len(self.queues) <= TOLD

    def tell(self, start: int, store: IQueueStore) -> bytes:
        """Add queues up, or tell some."""
        if start == 0:
            self.queues = store.names()
        if self._tellsEach:
            return self._tellEach(start, store)
        stop = start + SUMMED
        self._sums[start] = store.sums(self.queues[start:stop])
        if stop < len(self.queues):
            return b""
        sums = Sums(*map(sum, zip(*self._sums.values(), strict=True)))
        return self._all(store, sums, len(self.queues) * self._ofEach) + END

    def _tellEach(self, start: int, store: IQueueStore) -> bytes:
        if start:
            return super().tell(start, store)
        self.queues.sort()
        head = self._all(store, store.sums(self.queues), 0)
        return head + self._part(0, store)


class TellQueues(Slice, Ask):
    """Tell some of the queues of a listing; the result is a part of the answer."""

    def __init__(self, client: Client, listing: Telling, start: int = 0) -> None:
        """Remember which.

        :param start: the first one's place in the listing.
        """
        super().__init__(client, partial(listing.tell, start))
        self._listing = listing
        self._start = start

    @property
    def idleCost(self) -> int:
        """Return what it counts."""
        return self._listing.idleCost

    @property
    def hasMore(self) -> bool:
        """Whether it could be told."""
        return isinstance(self.result, bytes)

    def run(self, store: IQueueStore) -> int:
        """Tell them."""
        if self.isOver:
            return 0
        super().run(store)
        stop = self._listing.stop(self._start)
        if self.rest is None and stop < len(self._listing.queues):
            self.divide(TellQueues(self.client, self._listing, stop))
        return 0


def tell(dialogue: Dialogue, form: Form, listing: Telling) -> None:
    """Answer with what is told of many things, some at a time."""
    telling = TellQueues(dialogue.session, listing)
    dialogue.session.submit(telling)
    dialogue.expect(telling, partial(_renderTold, dialogue, form))


def _renderTold(dialogue: Dialogue, form: Form, operation: TellQueues) -> bytes:
    reply = renderAnswer(dialogue, form, operation)
    render = partial(_renderTold, dialogue, form)
    return reply + renderRest(dialogue, operation, render, b"")


def renderAnswer(dialogue: Dialogue, form: Form, operation: Ask) -> bytes:
    """Return the reply that tells what was asked for."""
    operation.settle()
    if isinstance(operation.result, QueueError):
        return dialogue.renderError(operation.result, form)
    return form.figures(operation.result)
