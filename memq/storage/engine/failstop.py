"""Fail-stop: the first error that a store cannot come back from is its last word.

After a sync that failed, the next one may report success although the bytes are lost;
and what clients were told is lost must not become durable after all.  So from that
error on everything is refused with it.  A home that is another one by now is such an
error, too.  A disk that is full is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.errors import DamagedStore, HomeGone, StoreError, StoreFailed
from memq.storage.datadir.damage import noteDamage
from memq.storage.datadir.directory import KnownFiles
from memq.storage.engine.binding import ERRORS, storeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from memq.storage.datadir.home import Home


class Translation:
    """Makes one of the store's errors of one of Berkeley DB's that leaves the block."""

    def __init__(self, error: Callable[[Exception], StoreError]) -> None:
        self._error = error

    def __enter__(self) -> None:
        """Do nothing; so one object does for all blocks."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raise the store's error instead of Berkeley DB's."""
        if isinstance(error, ERRORS):
            raise self._error(error) from error


class FailStop:
    """Whether the store in one home has failed, and why.

    :ivar files: the files that Berkeley DB has open.
    :ivar failure: the first failure that was for good; None while there is none.
    :ivar translated: a context in which Berkeley DB's errors become the store's.
    """

    def __init__(
        self, home: Home, logPath: Callable[[], str | None], panic: Callable[[], None]
    ) -> None:
        """Know of no failure.

        :param logPath: returns the path of the log file that was synced last.
        :param panic: lets Berkeley DB refuse everything.  Closed in order, or merely
            collected as garbage, it would write the log that is told to be lost.
        """
        self.files = KnownFiles()
        self.failure: StoreFailed | None = None
        self._home = home
        self._logPath = logPath
        self._panic = panic
        self.translated = Translation(self.error)

    def refuse(self) -> None:
        """Raise the failure, if there was one."""
        if self.failure is not None:
            raise self.failure

    def checkHome(self) -> OSError | None:
        """See that the home is the one that the next start would find.

        :return: why that cannot be told just now; None when all is well.
        :raise memq.errors.HomeGone: when it is not; nothing more is to be told stored.
        """
        doubt = self._home.check()
        path = self.files.findGone(self._logPath)
        if path is not None:
            raise self._home.gone(path)
        return doubt

    def error(self, error: Exception) -> StoreError:
        """Return what to raise for an error, which may be the store's end."""
        meaning = self.meaning(error)
        return self.fail(meaning) if isinstance(meaning, StoreFailed) else meaning

    def meaning(self, error: Exception) -> StoreError:
        """Return what an error means, whether or not it is the end."""
        return storeError(error, self._home.named)

    def fail(self, failure: StoreFailed) -> StoreFailed:
        """Return the failure that was the store's end, the first one."""
        if self.failure is None:
            try:
                self._home.check()
            except HomeGone as gone:
                # That is why.
                failure = gone
            if isinstance(failure, DamagedStore):
                failure = self._noted(failure)
            self.failure = failure
            self._panic()
        return self.failure

    def _noted(self, failure: DamagedStore) -> DamagedStore:
        """Write a failure down for the next start, and return it with advice."""
        words = f"{failure}; restore HOME/memq from a backup, or use --skip-damaged"
        try:
            noteDamage(self._home.way, failure)
        except OSError as error:
            words += f" (and it cannot be written down: {error})"
        noted = DamagedStore(words)
        # The advice is no client's business.
        noted.reply = failure.reply
        return noted
