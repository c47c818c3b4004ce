"""Requests have places, and give them back."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from memq.web.http.inputs import Refused
from memq.web.http.places import Places


class _Request:
    def __init__(self) -> None:
        self.finished: Deferred[None] = Deferred()

    def notifyFinish(self) -> Deferred[None]:
        """Return what fires at the end."""
        return self.finished


class PlaceTests(SynchronousTestCase):
    """Places for requests."""

    def test_taken(self) -> None:
        """One more than there are places is refused, until one has ended."""
        places = Places(2)
        first, second, third = [_Request() for _ in range(3)]
        places.take(first)
        places.take(second)
        error = self.assertRaises(Refused, places.take, third)
        self.assertEqual((error.code, error.headers), (503, {"Retry_After": "1"}))
        first.finished.callback(None)
        places.take(third)

    def test_gone(self) -> None:
        """A reader that is gone gives its place back, too."""
        places = Places(1)
        request = _Request()
        places.take(request)
        request.finished.errback(ConnectionError())
        places.take(_Request())
