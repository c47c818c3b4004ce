"""Salvage (--skip-damaged): makes a damaged home whole of what can be read in it.

Theory of operation
===================

Nothing is destroyed.  All that was in HOME/memq is in ``HOME/memq.damaged`` (or
``.damaged.2`` and so on) in the end, with a file UNREADABLE that tells what is missing.
Until everything is built, nothing has changed; then :mod:`memq.storage.datadir.damage`
changes it at once.  Killed before, it begins again; killed within that, the next start
goes on.  The lock is held, and stays in its place, all the time.

It is built in HOME/memq/salvaging:

1. ``copy``: the tables and the log are copied, with an empty page in the place of each
   that is damaged, and recovered there.  So what stands in the log only, on other
   pages than those, is in the tables afterwards.  A log that cannot be read in one
   place is cut off there.  Without a log, or with one that cannot be recovered, the
   tables are taken as they are.
2. ``memq``: a new store, made of all the leaves of these tables
   (:mod:`memq.storage.engine.btreefile`) and of what on the damaged pages is certainly
   a message (:mod:`memq.admin.rebuild`).
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack, closing
from itertools import filterfalse
from typing import TYPE_CHECKING

from memq.admin.rebuild import Rebuild
from memq.errors import DamagedHome, StoreError, UnusableHome
from memq.ratelimit import Progress
from memq.storage.bdb.compaction import ROW, filesOf
from memq.storage.datadir.damage import REPORT, WORK, beginSwap
from memq.storage.datadir.files import replaceFile
from memq.storage.datadir.home import Home
from memq.storage.datadir.sizing import diskSpace
from memq.storage.engine.binding import ERRORS
from memq.storage.engine.btreefile import DamagedFile, TreeFile, tablesIn
from memq.storage.engine.environment import Environment
from memq.storage.engine.logfile import FIRST_RECORD, logName, logNumbers
from memq.storage.engine.recovery import cutLog, recoverFiles, whyNotOpened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memq.storage.engine.binding import StoreSettings
    from memq.storage.engine.btreefile import Record

#: Bytes of room that are needed beside those for the copy and the new tables.
_SPARE = 16 * 1024 * 1024
#: Seconds between two lines that tell how far it is.
INTERVAL = 10.0
#: How many lines of what is not as it was go into the server's own log.
_LINES = 20


def _damageOf(table: TreeFile, isRecovered: bool = False) -> list[str]:
    """Return a line for each thing that was found damaged in a table.

    :param isRecovered: whether each page of it should have been written.
    """
    name = os.path.basename(table.path)
    found = [
        f"page {number} of the file {name} is damaged: {why}"
        for number, why in sorted(table.damaged.items())
    ]
    if isRecovered:
        found += [
            f"page {number} of the file {name} is damaged: it holds zeros only"
            for number in sorted(table.blank)
        ]
        if table.lastPage is not None and table.pages <= table.lastPage:
            found.append(
                f"the file {name} is cut short: it has {table.pages} pages of "
                f"{table.lastPage + 1}"
            )
    return found


class Salvage:
    """Make one home whole of what can be read in it."""

    def __init__(
        self, home: Home, settings: StoreSettings, say: Callable[[str], None]
    ) -> None:
        """Remember where; each line for the log is told to ``say``."""
        self._home = home
        self._settings = settings
        self._say = say
        self._directory = home.directory
        self._work = os.path.join(home.directory, WORK)
        self._copy = os.path.join(self._work, "copy")

    def look(self) -> None:
        """Look at each page; everything has just been written.

        :raise DamagedHome: when one is damaged.
        """
        for name in tablesIn(self._directory):
            with _opened(self._directory, name) as table:
                for number in range(table.pages):
                    table.check(number)
            found = _damageOf(table, isRecovered=True)
            if found:
                more = f" ({len(found)} such places)" if found[1:] else ""
                raise DamagedHome(f"{self._directory}: {found[0]}{more}")
        self._say("--skip-damaged: no page of a table is damaged")

    def run(self, why: DamagedHome) -> None:
        """Make the home whole.

        :raise memq.errors.HomeError: when there is no room for that, or the disk fails.
        """
        self._say(f"{why}. --skip-damaged: what can be read is taken from there")
        try:
            self._run(why)
        except (*ERRORS, StoreError, OSError) as error:
            raise whyNotOpened(self._home, error) from error

    def _run(self, why: DamagedHome) -> None:
        if os.path.exists(self._work):
            shutil.rmtree(self._work)
        self._wantRoom()
        os.makedirs(self._copy, 0o700)
        lost = self._rebuild()
        shutil.rmtree(self._copy)
        text = "\n".join([f"Damaged: {why}", *lost, ""])
        replaceFile(os.path.join(self._work, REPORT), text.encode())
        aside = beginSwap(self._directory)
        self._home.readVersion()
        for line in lost[:_LINES]:
            self._say(line)
        if len(lost) > _LINES:
            self._say(f"and {len(lost) - _LINES} lines more")
        self._say(f"The damaged files are in {aside}; {REPORT} there tells all this")

    def _wantRoom(self) -> None:
        size = 0
        tables = tablesIn(self._directory)
        for name in os.listdir(self._directory):
            path = os.path.join(self._directory, name)
            bytes = os.stat(path).st_size if os.path.isfile(path) else 0
            # Once copied, and once more, twice as large at most, in new tables.
            size += 3 * bytes if name in tables else bytes
        free = diskSpace(self._directory).free
        if free < size + _SPARE:
            raise UnusableHome(
                f"--skip-damaged needs {size + _SPARE} bytes free on the file system "
                f"of {self._directory}, for a copy and new tables, and there are {free}"
            )

    def _rebuild(self) -> list[str]:
        """Build the new store; return what is not as it was."""
        lost: list[str] = []
        with ExitStack() as stack:
            damaged = self._openTables(stack, lost)
            recovered = self._recover(damaged, lost)
            sources = damaged
            if recovered:
                sources = [
                    stack.enter_context(_opened(self._copy, name))
                    for name in tablesIn(self._copy)
                ]
            home = Home(self._work)
            home.prepare()
            stack.callback(home.release)
            environment = Environment(home, self._settings)
            stack.callback(environment.letGo)
            environment.open()
            sizes = [table.pageSize for table in damaged]
            rebuild = Rebuild(environment, min(sizes, default=0))
            self._fillRows(rebuild, sources, damaged)
            wanted = self._filesToRead(rebuild, damaged, recovered)
            self._fillMessages(rebuild, sources, damaged, wanted, recovered)
            rebuild.finish()
            environment.close()
            home.writeVersion()
        if not rebuild.lost:
            lost.append("all messages that the rows of the queues count are there")
        return lost + rebuild.lost

    def _openTables(self, stack: ExitStack, lost: list[str]) -> list[TreeFile]:
        """Return the tables, each page of them looked at."""
        tables = []
        for name in tablesIn(self._directory):
            try:
                table = stack.enter_context(_opened(self._directory, name))
            except DamagedFile as error:
                lost.append(str(error))
                continue
            tables.append(table)
            for number in range(table.pages):
                table.check(number)
            lost += _damageOf(table)
        if not any(map(_isQueues, tables)):
            lost.append("the file queues is missing or no table")
        return tables

    def _copyTables(self, tables: list[TreeFile]) -> None:
        """Copy them, with something harmless in the place of damaged pages."""
        numbers = logNumbers(self._directory)
        last = (numbers[-1], FIRST_RECORD.size) if numbers else (1, 0)
        for table in tables:
            path = os.path.join(self._copy, os.path.basename(table.path))
            with open(path, "wb") as file:
                for number in range(table.pages):
                    page = table.page(number)
                    if number in table.damaged:
                        page = table.mended(number, page, last)
                    file.write(page)

    def _recover(self, tables: list[TreeFile], lost: list[str]) -> bool:
        """Copy tables and log, and recover them, as far as the log can be read."""
        for number in logNumbers(self._directory):
            source = os.path.join(self._directory, logName(number))
            shutil.copyfile(source, os.path.join(self._copy, logName(number)))
        where = cutLog(self._copy)
        if where is not None:
            where = where.replace(self._copy, self._directory)
            lost.append(f"{where}; what it says from there on is not done again")
        if not logNumbers(self._copy):
            lost.append(f"there is no log: {_WITHOUT_LOG}")
            return False
        self._copyTables(tables)
        try:
            recoverFiles(self._copy, self._settings)
        except ERRORS as error:
            lost.append(
                f"the log cannot be recovered: {error.args[-1]}: {_WITHOUT_LOG}"
            )
            return False
        return True

    def _fillRows(
        self, rebuild: Rebuild, sources: list[TreeFile], damaged: list[TreeFile]
    ) -> None:
        """Take the rows of the queues, those on damaged pages last."""
        for table in filter(_isQueues, sources):
            for record in table.records():
                rebuild.addRow(record, isSound=True)
        for table in filter(_isQueues, damaged):
            for _, record in table.salvage(lambda record: True):
                rebuild.addRow(record, isSound=False)
        rebuild.closeRows()

    def _fillMessages(
        self,
        rebuild: Rebuild,
        sources: list[TreeFile],
        damaged: list[TreeFile],
        wanted: set[str] | None,
        recovered: bool,
    ) -> None:
        """Take the messages, those on damaged pages last.

        :param wanted: the files that count, None for all.
        """
        for table in filterfalse(_isQueues, sources):
            name = os.path.basename(table.path)
            if wanted is None or name in wanted:
                self._addMessages(rebuild, name, table.records())
        for table in sources:
            # Those of the copy: what is damaged is listed already.
            table.damaged.clear()
            rebuild.lost += _damageOf(table, isRecovered=recovered)
        for table in filterfalse(_isQueues, damaged):
            self._addDamaged(rebuild, table)

    def _filesToRead(
        self, rebuild: Rebuild, damaged: list[TreeFile], recovered: bool
    ) -> set[str] | None:
        """Return which files of messages count, None for all that there are.

        A file that no row names any more may be there still, with messages that were
        taken; so all are read only when no row can be relied on.
        """
        row = rebuild.row(ROW)
        queues = [table for table in damaged if _isQueues(table)]
        isWhole = bool(queues) and not queues[0].damaged
        if not recovered or (row is None and not isWhole):
            return None
        return filesOf(row)

    def _addMessages(
        self, rebuild: Rebuild, name: str, records: Iterator[Record]
    ) -> int:
        progress = Progress(self._say, interval=INTERVAL)

        def say(count: int) -> None:
            progress.reach(lambda: f"{count} records of the file {name} are read")

        return rebuild.addMessages(records, say)

    def _addDamaged(self, rebuild: Rebuild, table: TreeFile) -> None:
        name = os.path.basename(table.path)
        records = (record for _, record in table.salvage(rebuild.isPlausible))
        count = self._addMessages(rebuild, name, records)
        if count:
            rebuild.lost.append(
                f"{count} records on damaged pages of the file {name} could be read, "
                "and are there; their flags and times may be wrong"
            )


_WITHOUT_LOG = (
    "what was set since the last checkpoint may be missing, and some of what stood "
    "beside it; messages that were taken since then may come again"
)


def _opened(directory: str, name: str) -> closing[TreeFile]:
    return closing(TreeFile(os.path.join(directory, name)))


def _isQueues(table: TreeFile) -> bool:
    return os.path.basename(table.path) == "queues"
