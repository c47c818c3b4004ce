"""Places: how many requests of a kind may be under way, for what each holds."""

from __future__ import annotations

from typing import Any

from memq.web.http.inputs import Refused


class Places:
    """Places for requests, each of which has one until its reply is sent."""

    def __init__(self, most: int) -> None:
        """Have so many."""
        self._most = most
        self._taken: set[Any] = set()

    def take(self, request: Any) -> None:
        """Give a request a place, which it gives back by itself.

        :raise Refused: when all are taken.
        """
        if len(self._taken) >= self._most:
            raise Refused(503, "too many of these are under way", Retry_After="1")
        self._taken.add(request)
        request.notifyFinish().addBoth(lambda _: self._taken.remove(request))
