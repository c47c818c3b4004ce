"""Policy reload: reads rules again while the server runs, and changes those of clients.

A file of a megabyte takes half a second to read, so that is done in a thread, one thing
at a time, in the order in which they are asked for; to put its rules in place takes no
time.  Requests for a reading that come while one is under way share the next one, since
the file may have changed after the first began.  A file with a mistake changes nothing.

What else stands in files, such as users, is read with the rules: all hold, or none.

A change of the online rules is written down in that thread, too (online.py); it is told
when it is durable and holds.
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from functools import partial
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from memq.config.file import Config, findConfig
from memq.config.online import (
    Book,
    Online,
    OnlineFile,
    changed,
    overruled,
    together,
    told,
)
from memq.display import tomlKey
from memq.errors import ConfigError, RulesRefused
from memq.policy.rules import RuleError, Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from twisted.python.failure import Failure

    from memq.config.online import Change
    from memq.policy.rules import Table

#: Seconds after which Python is handed on while a file is read.  The reactor waits for
#: it behind each call of Berkeley DB's, several times for a set: with Python's own 5
#: ms, a set took 22 ms meanwhile and 44 at most, with this 1.4 and 13.
SWITCH = 0.0002

_log = Logger()


class Companion(Protocol):
    """Something that is read with the rules."""

    def prepare(self, config: Config) -> Callable[[], object]:
        """Read it, in a thread, and change nothing; return what lets it hold.

        :raise memq.errors.ConfigError: when it cannot be taken.
        """


class Read(NamedTuple):
    """What was read, none of which holds yet.

    :ivar others: let hold what the companions have read.
    """

    config: Config
    book: Book
    rules: Rules
    others: Sequence[Callable[[], object]]


class Changed(NamedTuple):
    """What a change has done.

    :ivar old: the keys of the table before, with their values; None for no table.
    :ivar new: the same after it.
    """

    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None


class _Job(NamedTuple):
    """Something to do in the thread.

    :ivar run: does it there.
    :ivar then: is called with its result.
    :ivar asked: those that are told of it.
    """

    run: Callable[[], Any]
    then: Callable[[Any], Any]
    asked: list[Deferred[Any]]


class PolicyReloader:
    """Read the rules again, as often as that is asked for, and change those online.

    :ivar isCurrent: whether the rules in force are those that were read last.
    :ivar readAt: when these were read, in seconds since 1970-01-01 UTC.
    :ivar rules: the rules in force.
    :ivar tables: the tables of the configuration file, of which they are made.
    :ivar book: the online rules, of which they are made, too.
    """

    def __init__(
        self,
        config: Config,
        run: Callable[..., Deferred[Any]],
        apply: Callable[[Rules], None],
        isRead: bool = True,
        seconds: Callable[[], float] = time,
        online: Online | None = None,
        companions: Sequence[Companion] = (),
        check: Callable[[Rules], Deferred[None]] = lambda rules: succeed(None),
        fixed: str = "",
    ) -> None:
        """Begin with what the file said at the start.

        :param run: calls a function in a thread, and returns a Deferred of its result.
        :param apply: lets rules hold.
        :param isRead: False when no file is to be read at all (--no-config).
        :param online: the online rules; None for none, and none in a file.
        :param companions: what is read together with them.
        :param check: sees whether rules of a file can be kept, before they hold; the
            Deferred fails with memq.errors.ConfigError if not.
        :param fixed: why there can be no online rules; "" if there can.
        """
        self._began = config
        self._companions = companions
        self._path = config.path
        self._run = run
        self._apply = apply
        self._check, self._fixed = check, fixed
        self._isRead = isRead
        self._isBusy = False
        self._seconds = seconds
        self.isCurrent, self.readAt = True, seconds()
        self._file, self.book = online or Online(OnlineFile(None), Book())
        self.tables = config.queues
        self.rules = Rules(self.tables, self.book.tables)
        self._jobs: deque[_Job] = deque()
        #: The reading that is to begin next, if one is.
        self._next: _Job | None = None

    def reload(self) -> Deferred[None]:
        """Read the file again, or the one that is at DEFAULT by now.

        :return: fires when its rules hold.  It fails with memq.errors.ConfigError when
            they cannot be, or when a file is gone that was there once: the rules stay
            as they are.
        """
        if self._next is None:
            self._next = _Job(self._read, self._cbRead, [])
            self._jobs.append(self._next)
        return self._ask(self._next)

    def reloadFor(self, why: str) -> Deferred[str | None]:
        """Read the file again because of a signal; a mistake is logged.

        :param why: what asked for it, for the log.
        :return: fires with the mistake, None without one.
        """
        done: Deferred[Any] = self.reload().addErrback(self._ebRefused, why)
        return done.addErrback(self._ebFailed)

    def change(self, change: Change) -> Deferred[Changed]:
        """Change the online rules.

        :return: fires when the change is durable and holds.  It fails with
            memq.errors.RulesRefused when it cannot be: the rules stay as they are.
        """
        job = _Job(partial(self._change, change), partial(self._cbChanged, change), [])
        self._jobs.append(job)
        return self._ask(job)

    def plan(self, change: Change) -> Deferred[Rules]:
        """Return the rules that a change would make; it fails as ``change`` does."""
        job = _Job(lambda: self._planned(change)[0], lambda rules: rules, [])
        self._jobs.append(job)
        return self._ask(job)

    def _ebFailed(self, failure: Failure) -> str:
        _log.failure("Rules could not be read", failure)
        return failure.getErrorMessage()

    def _ebRefused(self, failure: Failure, why: str) -> str:
        failure.trap(ConfigError)
        _log.error(
            "{why}: {error}; all stays as it was",
            why=why,
            error=failure.getErrorMessage(),
        )
        return failure.getErrorMessage()

    def _ask(self, job: _Job) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        job.asked.append(done)
        if not self._isBusy:
            self._begin()
        return done

    def _begin(self) -> None:
        self._isBusy = True
        job = self._jobs.popleft()
        if job is self._next:
            self._next = None
        done = self._run(_yielding, job.run).addCallback(job.then)
        done.addBoth(self._cbOver, job)

    def _cbOver(self, result: Any, job: _Job) -> None:
        self._isBusy = False
        if job.run == self._read:
            self.isCurrent = result is None
        if self._jobs:
            self._begin()
        for each in job.asked:
            each.callback(result)

    # In the thread: nothing changes here meanwhile.

    def _read(self) -> Read:
        """Return what the files say, and their rules."""
        config = findConfig(self._path) if self._isRead else Config()
        book = self._file.read(self.book)
        rules = together(config.queues, book.tables)
        others = [each.prepare(config) for each in self._companions]
        return Read(config, book, rules, others)

    def _planned(self, change: Change) -> tuple[Rules, tuple[Table, ...]]:
        """Return the rules with a change, and the online ones of these.

        Both are those that there are when nothing changes.

        :raise memq.errors.RulesRefused: when it cannot be.
        """
        if self._fixed:
            raise RulesRefused(self._fixed)
        for key in change.values:
            lock = self.rules.lock(change.name, key)
            if lock is not None:
                what = f"{key} of {tomlKey(lock.name.decode())}"
                raise RulesRefused(f"{what} is locked at {lock.place(key)}")
        tables = changed(self.book.tables, change)
        if tables is self.book.tables:
            return self.rules, self.book.tables
        online = self._file.placed(tables)
        rules = Rules(self.tables, online)
        before = self.book.table(change.name)
        keys = {*change.values, *(() if before is None else before.values)}
        try:
            rules.check(keys)
        except RuleError as error:
            table = error.table
            # What was just asked for stands nowhere yet.
            isAsked = (table.name, table.path) == (change.name, self._file.path)
            isPlaced = table.lines and not isAsked
            where = f"{table.place(error.key)}: " if isPlaced else ""
            raise RulesRefused(where + told(error)) from None
        return rules, online

    def _change(self, change: Change) -> tuple[Book, Rules]:
        rules, online = self._planned(change)
        if rules is self.rules:
            return self.book, rules
        return self._file.write(self.book, online, change.name), rules

    # In the reactor.

    def _cbRead(self, read: Read) -> Deferred[None]:
        """Let all hold, if the rules can be kept."""
        return self._check(read.rules).addCallback(lambda _: self._cbChecked(read))

    def _cbChecked(self, read: Read) -> None:
        """Let the rules hold, if there are any; name options that differ."""
        config, self.book, rules, others = read
        for hold in others:
            hold()
        if config.path is not None:
            self._path = config.path
            self._tell(config)
        self.tables = config.queues
        if config.path is not None or not (rules.isEmpty and self.rules.isEmpty):
            self._hold(rules)
            self.readAt = self._seconds()
        for line in overruled(rules, self.book.tables):
            _log.warn("{line}", line=line)

    def _tell(self, config: Config) -> None:
        """Log that the configuration file was read, and what has no effect yet."""
        _log.info(
            "{path} is read again: {tables} [queue] tables",
            path=config.path,
            tables=len(config.queues),
        )
        before, now = self._began.server, config.server
        names = sorted({*before, *now})
        changed = [name for name in names if before.get(name) != now.get(name)]
        listens = [
            [each._replace(line="") for each in each.listens]
            for each in (self._began, config)
        ]
        if listens[0] != listens[1]:
            changed.append("[[listen]]")
        if changed:
            _log.info(
                "{path}: changed in [server], [web] or [[listen]], and takes effect "
                "when memq is started again: {names}",
                path=config.path,
                names=", ".join(changed),
            )

    def _cbChanged(self, change: Change, made: tuple[Book, Rules]) -> Changed:
        old = self.book.table(change.name)
        self.book, rules = made
        new = self.book.table(change.name)
        if rules is not self.rules:
            self._hold(rules)
        return Changed(old and old.values, new and new.values)

    def _hold(self, rules: Rules) -> None:
        self.rules = rules
        self._apply(rules)


def _yielding(call: Callable[[], Any]) -> Any:
    """Call something that takes long in a thread, and let others go on meanwhile."""
    before, collects = sys.getswitchinterval(), gc.isenabled()
    sys.setswitchinterval(SWITCH)
    # It would look through all that is read, over and over, and hand nothing on
    # meanwhile: others waited up to 19 ms for that, and 8 without it.
    gc.disable()
    try:
        return call()
    finally:
        sys.setswitchinterval(before)
        if collects:
            gc.enable()
