"""Pages: a page of the list of queues, made once for all who ask for the same one.

Viewers mostly look at the first page in the same order.  So what was made of a snapshot
is told until there is another one.  Long pages are not kept, nor those of somebody who
may not see all queues: whoever asks for one gets it piece by piece, as it is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from memq.web.api.selection import Selection
from memq.web.api.snapshot import inSlices
from memq.web.http.routes import Made, Streamed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from twisted.internet.interfaces import IReactorTime

    from memq.web.api.selection import Asked
    from memq.web.api.snapshot import Snapshot

    Pieces = Callable[[Selection], Iterator[bytes]]

#: Rows of a page that is kept, and how many pages are: half a megabyte together.
ROWS, PAGES = 100, 16


class _Page:
    """A page that is made, or is there."""

    def __init__(self) -> None:
        self._asking: list[Deferred[Any]] = []
        self._made: Made | None = None

    def ask(self) -> Deferred[Any]:
        """Return it, once it is there."""
        asked: Deferred[Any] = Deferred()
        if self._made is None:
            self._asking.append(asked)
        else:
            asked.callback(self._made)
        return asked

    def make(self, steps: Iterable[None], pieces: Iterator[bytes]) -> Iterator[None]:
        """Make it, a little in each step."""
        yield from steps
        made = []
        for piece in pieces:
            made.append(piece)
            yield None
        self._made = Made(b"".join(made))

    def end(self, outcome: object) -> None:
        """Tell all who ask.

        :param outcome: a Failure where it could not be made.
        """
        asking, self._asking = self._asking, []
        for each in asking:
            each.callback(self._made or outcome)


class Pages:
    """The pages of the last snapshot."""

    def __init__(self, clock: IReactorTime, pieces: Pieces) -> None:
        """Begin with none.

        :param pieces: yields the text of a selection that is complete.
        """
        self._slices = inSlices(clock)
        self._pieces = pieces
        self._snapshot: Snapshot | None = None
        self._pages: dict[Asked, _Page] = {}

    def page(self, snapshot: Snapshot, asked: Asked) -> Deferred[Any]:
        """Return what is told of a page, Made or Streamed."""
        if self._snapshot is not snapshot:
            self._snapshot, self._pages = snapshot, {}
        page = self._pages.get(asked)
        if page is not None:
            return page.ask()
        selection = Selection(snapshot, asked)
        isForAll = asked.sight is None and asked.limit <= ROWS
        if not isForAll or len(self._pages) >= PAGES:
            done = self._slices.cooperate(selection.steps()).whenDone()
            return done.addCallback(lambda _: Streamed(self._pieces(selection)))
        page = self._pages[asked] = _Page()
        steps = page.make(selection.steps(), self._pieces(selection))
        self._slices.cooperate(steps).whenDone().addBoth(page.end)
        return page.ask()
