"""Survey: what all queues have, looked at some at a time, between what clients ask.

A survey is a client of the broker like any other: each slice of it is an operation, and
the next one is asked for when that is done.  So it sees only what is durable, and
nobody waits for more than a slice.  Surveys run one after the other; who wants the one
that is under way, or waits for its turn, shares it.

To look at a head that has changed takes longer than all else.  So of very many
queues one is told as it was, if it was looked at a few seconds ago.  Where all is gone
that was there in the survey before, the head came since, and is told as of then: as a
survey or two older than it is.  What stays where it is has its age to the millisecond
some time later.

A queue that is deleted in the middle is not seen.  So the sums could fall for once, and
so does ``taken`` when a message goes back; a counter that falls would be taken for one
that began anew.  What was told once is told until there is more.
"""

from __future__ import annotations

from array import array
from itertools import compress, repeat
from operator import add, lt
from struct import pack
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from memq.errors import QueueError
from memq.figures import QueueDetail, Totals, lateness
from memq.policy.patterns import Pattern
from memq.web.metrics.exposition import label, queueLabel
from memq.web.metrics.looks import Begin, Look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from memq.broker.interfaces import IEngine
    from memq.figures import Columns
    from memq.operations.base import Operation

    #: Of queues by their names, and what came and went: what is told as taken.
    _Told = Callable[[Sequence[bytes], Sequence[int], Sequence[int]], Sequence[int]]

#: Queues that are looked at in one go: what clients ask for waits behind that.
AT_ONCE = 256
#: The same where each of them is told, which takes twice as long.
KEPT_AT_ONCE = 128
#: Surveys that may wait.
WAITING = 4
#: Seconds for each queue that sums are told as they were, and the most: longer than a
#: snapshot is, so that whoever looks at all queues makes them for scrapes, too.
OLD_EACH, OLD = 500e-6, 5.0
#: The figures of a queue that are kept, by the names of their metrics.
FIGURES = (
    *("messages", "bytes", "open", "delayed", "waiters", "oldest", "set", "taken"),
    *("closed", "expired", "discarded", "returned", "limit", "paused"),
)
#: The names of figures in QueueDetail, where those are others.
FIELDS = {"oldest": "headTime", "returned": "returns"}
#: Of the details of queues, what is added up; from ``pushed`` on as in Totals.
_SUMMED = slice(1, 11)
_PUSHED, _TAKEN, _HEAD_TIME = map(
    QueueDetail._fields.index, ("pushed", "taken", "headTime")
)


class NoSurvey(QueueError):
    """The queues cannot be looked at now."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self._why = why

    def __str__(self) -> str:
        """Say why."""
        return self._why


class Wanted(NamedTuple):
    """The queues of which a survey keeps every figure.

    :ivar patterns: what their names match, one of them.
    :ivar most: how many at most; None for any number.  Of more, none are kept.
    :ivar areLabelled: whether they get labels.
    """

    patterns: tuple[bytes, ...] = (b"*",)
    most: int | None = None
    areLabelled: bool = True


class Rows:
    """The figures of some queues, in columns, which is a tenth of what objects take.

    :ivar names: the name of each queue.
    :ivar labels: its label, as it stands behind a metric's name, if there are some.
    :ivar columns: the numbers of each of FIGURES, in the same order.
    """

    def __init__(self, areLabelled: bool = True) -> None:
        self._areLabelled = areLabelled
        self.names: list[bytes] = []
        self.labels: list[str] = []
        self.columns = {name: array("q") for name in FIGURES}

    def add(self, names: Sequence[bytes], columns: Iterable[Sequence[int]]) -> None:
        """Add queues, and their figures in columns."""
        self.names += names
        if self._areLabelled:
            self.labels += [label("queue", queueLabel(name)) for name in names]
        form, nothing = f"{len(names)}q", bytes(8 * len(names))
        before: Sequence[int] = ()
        packed = b""
        for column, values in zip(self.columns.values(), columns, strict=True):
            # Mostly all are 0, and several columns are the same one.  Packed they take
            # a third of the time that extend takes.
            if values is not before:
                before = values
                packed = pack(form, *values) if any(values) else nothing
            column.frombytes(packed)


class Picture(NamedTuple):
    """The outcome of a survey.

    :ivar queues: how many there are.
    :ivar ever: what was counted since the start.
    :ivar oldest: when the oldest head was set, ms since 1970; 0 where all are empty.
    :ivar rows: the queues that were wanted; None when they were too many.
    :ivar seconds: how long it took.
    """

    queues: int
    messages: int
    bytes: int
    open: int
    delayed: int
    ever: Totals
    oldest: int
    rows: Rows | None
    seconds: float


def figuresOf(broker: IEngine, each: QueueDetail) -> list[int]:
    """Return the figures of a queue, as FIGURES names them."""
    columns = [(value,) for value in each]
    return [value for (value,) in _columns(broker, columns, (each.taken,))]


def _columns(
    broker: IEngine, columns: Sequence[Sequence[Any]], taken: Sequence[int]
) -> list[Sequence[int]]:
    """Return the figures of queues, a column for each of FIGURES.

    :param columns: their details.
    :param taken: what is told as taken from each.
    """
    names, items, size, openReads, delayed, pushed, _, closed, expired = columns[:9]
    discarded, returns, limits, paused, heads, _ = columns[9:]
    policies = broker.policies
    if policies.isActive:
        pairs = []
        for name, limit, pause in zip(names, limits, paused, strict=True):
            policy = policies.told(name)
            own = policy and (policy.maxItems or limit, policy.paused)
            pairs.append(own or (limit, pause))
        limits, paused = zip(*pairs, strict=True)
    waiters = [0] * len(names)
    if broker.readers:
        waiters = [broker.waiters(name) for name in names]
    return [
        *(items, size, openReads, delayed, waiters, heads, pushed, taken),
        *(closed, expired, discarded, returns, limits, paused),
    ]


class _Survey:
    """One survey."""

    def __init__(self, wanted: Wanted, broker: IEngine, told: _Told) -> None:
        self.wanted = wanted
        self.asking: list[Deferred[Picture]] = []
        self.began = broker.clock.seconds()
        #: The same in ms since 1970.
        self.at = int(broker.policies.seconds() * 1000)
        self.gone = Totals()
        #: The sums of the numbers of QueueDetail from ``items`` to ``returns``.
        self._sums = [0] * len(QueueDetail._fields[_SUMMED])
        self._oldest = 0
        self.names: list[bytes] = []
        self.place = 0
        self._broker = broker
        self._told = told
        self._rows: Rows | None = Rows(wanted.areLabelled)
        self._matchers = [
            Pattern(each).matches for each in wanted.patterns if each != b"*"
        ]
        self._isAll = len(self._matchers) < len(wanted.patterns)

    def take(self, details: Columns) -> None:
        """Take the details of the next queues."""
        self.place += details.seen
        columns = details.columns
        self._sums = [*map(add, self._sums, map(sum, columns[_SUMMED]))]
        oldest = min(filter(None, columns[_HEAD_TIME]), default=0)
        if oldest:
            self._oldest = min(oldest, self._oldest or oldest)
        if self._rows is not None and self.wanted.patterns:
            self._keep(self._rows, columns)

    def _keep(self, rows: Rows, columns: Sequence[Sequence[Any]]) -> None:
        """Keep the figures of those that are wanted."""
        names = columns[0]
        if not self._isAll:
            isWanted = [self._wants(name) for name in names]
            columns = [tuple(compress(column, isWanted)) for column in columns]
            names = columns[0]
        if names:
            taken = self._told(names, columns[_PUSHED], columns[_TAKEN])
            rows.add(names, _columns(self._broker, columns, taken))
        if self.wanted.most is not None and len(rows.names) > self.wanted.most:
            self._rows = None

    @property
    def atOnce(self) -> int:
        """How many queues to look at next."""
        isKept = self._rows is not None and self.wanted.patterns
        return KEPT_AT_ONCE if isKept else AT_ONCE

    @property
    def counted(self) -> Totals:
        """What the queues have counted."""
        return Totals(*self._sums[4:])

    def _wants(self, name: bytes) -> bool:
        return any(matches(name) for matches in self._matchers)

    def picture(self, ever: Totals) -> Picture:
        """Return what was seen.

        :param ever: what is told of all that was ever counted.
        """
        messages, size, openReads, delayed = self._sums[:4]
        return Picture(
            len(self.names),
            *(messages, size, openReads, delayed),
            ever,
            self._oldest,
            self._rows,
            self._broker.clock.seconds() - self.began,
        )


class Surveyor:
    """Make surveys, one at a time."""

    def __init__(self, broker: IEngine) -> None:
        """Begin with none.

        :param broker: it is not asked before the first one.
        """
        self._broker = broker
        self._session = broker.session(self._cbDone)
        #: Those that are to be made; the first is under way.
        self._surveys: list[_Survey] = []
        self._operation: Operation | None = None
        self._ever = Totals()
        #: The last picture, without rows, and when that was.
        self._last: tuple[Picture, float] | None = None
        #: When the last one began that went through all queues, in ms since 1970, and
        #: by the clock.
        self._whole = 0, float("-inf")
        #: By queue, how many had come, and the most that was told as taken from it.
        #: Pairs of them would be work for the garbage collector.
        self._came: dict[bytes, int] = {}
        self._taken: dict[bytes, int] = {}

    def look(self, wanted: Wanted) -> Deferred[Picture]:
        """Return what all queues have, once that is known.

        Where no row is wanted, it may be what was seen up to OLD seconds ago.  It fails
        with memq.errors.QueueError when the store does, or with NoSurvey.  It must not
        be called before the store is open, nor once the server stops.
        """
        if not wanted.patterns and self._last is not None:
            picture, at = self._last
            old = min(OLD, OLD_EACH * picture.queues)
            if self._broker.clock.seconds() - at < old:
                return succeed(picture)
        for survey in self._surveys:
            if survey.wanted == wanted:
                break
        else:
            if len(self._surveys) > WAITING:
                return fail(NoSurvey("too many of these are under way"))
            survey = _Survey(wanted, self._broker, self._told)
            self._surveys.append(survey)
            if self._operation is None:
                self._submit(Begin(self._session))
        asked: Deferred[Picture] = Deferred()
        survey.asking.append(asked)
        return asked

    def _submit(self, operation: Operation) -> None:
        self._operation = operation
        self._session.submit(operation)

    def _told(
        self, names: Sequence[bytes], pushed: Sequence[int], taken: Sequence[int]
    ) -> Sequence[int]:
        """Return what is told as taken from queues: not less than before.

        Where fewer came than before, it is another queue of that name, all of whose
        counters have begun anew.
        """
        before = (*map(self._taken.get, names, taken),)
        came = (*map(self._came.get, names, repeat(-1)),)
        told = taken
        if any(map(lt, taken, before)):
            rows = zip(taken, before, pushed, came, strict=True)
            told = [
                then if count < then and now >= last else count
                for count, then, now, last in rows
            ]
        if before != told or came != pushed:
            self._taken.update(zip(names, told, strict=True))
            self._came.update(zip(names, pushed, strict=True))
        return told

    def _cbDone(self) -> None:
        """Take what an operation has found, and ask for the next one."""
        operation, survey = self._operation, self._surveys[0]
        assert operation is not None
        result = operation.result
        if self._broker.isStopping:
            # The end waits for those who want more, and then the store is closed.
            result = NoSurvey("the server is stopping")
        if isinstance(result, QueueError):
            self._end(Failure(result))
        elif isinstance(operation, Begin):
            survey.names, survey.gone = result
            self._goOn(survey)
        else:
            assert isinstance(operation, Look)
            survey.take(result)
            self._goOn(survey)

    def _goOn(self, survey: _Survey) -> None:
        place = survey.place
        if place < len(survey.names):
            names = survey.names[place : place + survey.atOnce]
            count = len(survey.names)
            late = lateness(count)
            at, began = self._whole
            since = at if survey.began - began < late else 0
            seconds = self._broker.clock.seconds
            self._submit(Look(self._session, names, seconds, late, since))
            return
        self._whole = survey.at, survey.began
        pairs = zip(survey.gone, survey.counted, self._ever, strict=True)
        self._ever = Totals(*(max(gone + now, told) for gone, now, told in pairs))
        if len(self._taken) > 2 * len(survey.names):
            there = self._taken.keys() & set(survey.names)
            self._came = {name: self._came[name] for name in there}
            self._taken = {name: self._taken[name] for name in there}
        picture = survey.picture(self._ever)
        self._last = picture._replace(rows=Rows()), self._broker.clock.seconds()
        self._end(picture)

    def _end(self, outcome: Picture | Failure) -> None:
        survey = self._surveys.pop(0)
        self._operation = None
        if self._surveys:
            self._submit(Begin(self._session))
        for asked in survey.asking:
            asked.callback(outcome)
