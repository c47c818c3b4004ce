"""The account of a queue in a cluster: what clients were told of each message.

Messages have numbers.  Readers read in one of three ways, see WAYS, and each has a
queue of its own with an account.  When a round is over and its queues are empty,
:func:`judge` says in words what was not as promised:

- A STORED message is given out.  A plain get that was answered SERVER_ERROR, or not at
  all, may have taken one.  What was opened is gone only when a close has said so, or
  was not sure.
- What a plain get gave out does not come again, nor what a close/open has ended.  What
  a close has ended may, once for each reader, when its queue's leader dies.
- What was told as not stored is not there.
- Each command is answered, and in time, but for those of a front end that is killed.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

#: A get; open, then close; and close/open, which ends one and opens the next one.
WAYS = PLAIN, CLOSE, CHAIN = "get", "close", "close/open"


class Bounds(NamedTuple):
    """How much of what is allowed.

    :ivar answer: seconds until an answer, at most.
    :ivar unanswered: commands that may be without an answer.
    :ivar again: messages that may come again after a close.
    """

    answer: float
    unanswered: int = 0
    again: int = 0


class Figures(NamedTuple):
    """What became of the messages of a queue.

    :ivar sent: all sets.
    :ivar stored: those that were told so; unsure, those that may be stored;
        refused, those that are not.
    :ivar given: how many messages were given out, each counted once.
    :ivar lost: stored, and gone without a reader.
    :ivar errors: reads that were answered SERVER_ERROR or not at all.
    :ivar twice: messages that came again after they were gone.
    :ivar ghosts: refused, and there.
    :ivar unanswered: commands without an answer.
    :ivar latest: the most seconds until an answer.
    :ivar pause: the most seconds between two successes of one kind.
    """

    sent: int
    stored: int
    unsure: int
    refused: int
    given: int
    lost: int
    errors: int
    twice: int
    ghosts: int
    unanswered: int
    latest: float
    pause: float


class Account:
    """What was told of one queue's messages; safe from many threads.

    :ivar way: one of WAYS.
    :ivar strange: what no server may say, in words.
    """

    def __init__(self, way: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing.

        :param clock: tells seconds.
        """
        self.way = way
        self.strange: list[str] = []
        self._clock = clock
        self._lock = threading.Lock()
        self._sent = 0
        #: What was told of each message that is no longer under way.
        self._told: dict[int, str] = {}
        #: How often each was given out, and how often its end was told.
        self._given = Counter[int]()
        self._ended = Counter[int]()
        #: When its first end was told.
        self._endedAt: dict[int, float] = {}
        #: Those of which an end was asked for, and not told.
        self._doubtful: set[int] = set()
        self._again: set[int] = set()
        self._errors = self._unanswered = 0
        self._latest = 0.0
        self._successes: dict[str, float] = {}
        self._pauses: dict[str, float] = {}

    # What clients say.

    def send(self) -> int:
        """Return the number of the next message, which is about to be sent."""
        with self._lock:
            self._sent += 1
            return self._sent

    def tell(self, number: int, what: str) -> None:
        """Note that a message is stored, unsure or refused."""
        with self._lock:
            self._told[number] = what
            if what == "stored":
                self._succeed("set")

    def give(self, number: int, askedAt: float) -> None:
        """Note that a message was given out.

        :param askedAt: when it was asked for.
        """
        with self._lock:
            if not 0 < number <= self._sent:
                self.strange.append(f"message {number} was never sent")
            self._given[number] += 1
            if self._endedAt.get(number, askedAt) < askedAt:
                self._again.add(number)
            if self.way == PLAIN:
                self._end(number)
            self._succeed("get")

    def end(self, number: int) -> None:
        """Note that a message is told to be gone."""
        with self._lock:
            self._end(number)
            self._succeed("close")

    def _end(self, number: int) -> None:
        self._ended[number] += 1
        self._endedAt.setdefault(number, self._clock())

    def doubt(self, number: int) -> None:
        """Note that a message may be gone: its close has failed."""
        with self._lock:
            self._doubtful.add(number)

    def fail(self) -> None:
        """Note that a read has failed."""
        with self._lock:
            self._errors += 1

    def miss(self) -> None:
        """Note that a command has no answer."""
        with self._lock:
            self._unanswered += 1

    def late(self, seconds: float) -> None:
        """Note how long an answer took."""
        with self._lock:
            self._latest = max(self._latest, seconds)

    def complain(self, words: str) -> None:
        """Note something that no server may say."""
        with self._lock:
            self.strange.append(words)

    def _succeed(self, kind: str) -> None:
        now = self._clock()
        pause = now - self._successes.get(kind, now)
        self._pauses[kind] = max(self._pauses.get(kind, 0.0), pause)
        self._successes[kind] = now

    # What is asked.

    def succeededSince(self, moment: float) -> bool:
        """Return whether sets and gets have succeeded since a moment."""
        with self._lock:
            last = [self._successes.get(kind, -1.0) for kind in ("set", "get")]
        return min(last) > moment

    @property
    def missing(self) -> list[int]:
        """The stored messages that are not gone, as far as was told."""
        with self._lock:
            stored = [n for n, what in self._told.items() if what == "stored"]
            return [n for n in stored if not self._ended[n] and n not in self._doubtful]

    def figures(self) -> Figures:
        """Return what became of all."""
        lost = len(self.missing)
        with self._lock:
            told = Counter(self._told.values())
            refused = [n for n, what in self._told.items() if what == "refused"]
            twice = {n for n, count in self._ended.items() if count > 1} | self._again
            return Figures(
                sent=self._sent,
                stored=told["stored"],
                unsure=told["unsure"],
                refused=told["refused"],
                given=len(self._given),
                lost=lost,
                errors=self._errors,
                twice=len(twice),
                ghosts=sum(n in self._given for n in refused),
                unanswered=self._unanswered,
                latest=self._latest,
                pause=max(self._pauses.values(), default=0.0),
            )


def judge(account: Account, bounds: Bounds) -> list[str]:
    """Return what was not as promised, in words; nothing if all was."""
    way, figures = account.way, account.figures()
    wrong = list(account.strange)
    if not figures.stored:
        wrong.append("nothing was stored")
    lost = figures.errors if way == PLAIN else 0
    again = bounds.again if way == CLOSE else 0
    for words, count, most in (
        ("stored and lost", figures.lost, lost),
        ("given out twice", figures.twice, again),
        ("refused and there", figures.ghosts, 0),
        ("commands without an answer", figures.unanswered, bounds.unanswered),
    ):
        if count > most:
            wrong.append(f"{count} {words}, of {most} at most")
    if figures.latest > bounds.answer:
        wrong.append(
            f"an answer after {figures.latest:.2f} s, of {bounds.answer:g} at most"
        )
    return [f"{way}: {words}" for words in wrong]
