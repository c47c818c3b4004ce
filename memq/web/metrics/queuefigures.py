"""Queue figures: the metrics of each queue, one by one.

A server has very many queues perhaps, and each metric of each is a series for whoever
scrapes it.  So there is a limit, above which none of them is told: a list that is cut,
or series that come and go, would be worse than none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from twisted.logger import Logger

from memq.policy.rule import READS, WRITES
from memq.web.metrics.exposition import Column, Family
from memq.web.metrics.survey import FIELDS, Rows, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    #: As memq.web.metrics.exposition.Sample.
    _Sample = tuple[str, str, float]


class _Metric(NamedTuple):
    kind: str
    name: str
    help: str


_SURVIVES = "It goes on when memq is started again."

#: The metrics of queues, by their figures in the order in which they are told.
METRICS = {
    "messages": _Metric("gauge", "messages", "Messages that can be taken."),
    "bytes": _Metric("gauge", "bytes", "Bytes of the bodies that wait."),
    "open": _Metric("gauge", "open", "Messages that are read openly."),
    "delayed": _Metric("gauge", "delayed", "Messages that are not due yet."),
    "waiters": _Metric("gauge", "waiters", "Reads that wait for a message."),
    "oldest": _Metric(
        "gauge",
        "oldest_message_timestamp_seconds",
        "When the head was set, in seconds since 1970; absent without one.",
    ),
    "set": _Metric("counter", "set", f"Messages that came. {_SURVIVES}"),
    "taken": _Metric("counter", "taken", f"Messages that left. {_SURVIVES}"),
    "closed": _Metric("counter", "closed", f"Open reads closed. {_SURVIVES}"),
    "expired": _Metric("counter", "expired", f"Messages too old. {_SURVIVES}"),
    "discarded": _Metric("counter", "discarded", f"Messages dropped. {_SURVIVES}"),
    "returned": _Metric("counter", "returned", f"Open reads given back. {_SURVIVES}"),
    "limit": _Metric(
        "gauge", "max_messages", "Messages that may wait; absent without a limit."
    ),
    "paused": _Metric(
        "gauge", "paused", "1 for what is paused; absent where nothing is."
    ),
}

_log = Logger()


def queueFamilies(
    rows: Rows, figures: Sequence[str] = (), lacks: Collection[str] = ()
) -> Iterator[Family]:
    """Yield the metrics of queues.

    :param figures: which; none for all.
    :param lacks: those that are not known, by the names of QueueDetail.
    """
    for figure, (kind, name, help) in METRICS.items():
        if (figures and figure not in figures) or FIELDS.get(figure, figure) in lacks:
            continue
        tell = _TELLERS.get(figure)
        samples: Column | Iterator[_Sample]
        if tell is not None:
            samples = tell(rows)
        else:
            suffix = "_total" if kind == "counter" else ""
            samples = Column(suffix, rows.labels, rows.columns[figure])
        yield Family(f"memq_queue_{name}", kind, help, samples)


def _oldest(rows: Rows) -> Iterator[_Sample]:
    for label, value in zip(rows.labels, rows.columns["oldest"], strict=True):
        if value:
            yield "", label, value / 1000


def _limits(rows: Rows) -> Iterator[_Sample]:
    for label, value in zip(rows.labels, rows.columns["limit"], strict=True):
        if value:
            yield "", label, value


def _paused(rows: Rows) -> Iterator[_Sample]:
    for label, bits in zip(rows.labels, rows.columns["paused"], strict=True):
        for bit, word in ((READS, "reads"), (WRITES, "writes")):
            if bits & bit:
                yield "", f'{label[:-1]},op="{word}"}}', 1


_TELLERS: dict[str, Callable[[Rows], Iterator[_Sample]]] = {
    "oldest": _oldest,
    "limit": _limits,
    "paused": _paused,
}


class Limit:
    """Whether queues are told one by one, and which.

    :ivar isSuppressed: whether there were too many since the rules were read last.
    """

    def __init__(self, patterns: Sequence[bytes], most: int) -> None:
        """Begin with telling them.

        :param patterns: what their names match, one of them; none for no queue.
        :param most: how many may be told.
        """
        self._patterns = tuple(patterns)
        self._most = most
        self.isSuppressed = False

    @property
    def wanted(self) -> Wanted:
        """Return what a survey has to keep."""
        return Wanted(() if self.isSuppressed else self._patterns, self._most)

    def apply(self, rows: Rows | None) -> Rows:
        """Return what is told, of what a survey has kept; a warning says when it ends.

        :param rows: None if they were too many.
        """
        if rows is None and not self.isSuppressed:
            self.isSuppressed = True
            _log.warn(
                "More than {most} queues match queue-metrics: /metrics tells none of "
                "them one by one until the rules are read again; /metrics/queues does",
                most=self._most,
            )
        return Rows() if rows is None or self.isSuppressed else rows

    def lift(self) -> None:
        """Tell them again: the rules were read."""
        self.isSuppressed = False
