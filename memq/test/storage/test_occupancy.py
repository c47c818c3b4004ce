"""Whether so little is left in a file that a move is worth it."""

from __future__ import annotations

from bisect import bisect_left

from twisted.trial.unittest import SynchronousTestCase

from memq.storage.occupancy import (
    INTERVAL,
    LEAST_MESSAGE,
    PAUSE,
    SHARE,
    SLICE_BYTES,
    WALK_SHARE,
    Survey,
)

LEAST_SIZE = 16 * 1024 * 1024
BUDGET = int(LEAST_SIZE * SHARE)


class Cursor:
    """A cursor over records in memory."""

    def __init__(self, records: dict[bytes, bytes]) -> None:
        self._records = sorted(records.items())
        self._at = 0

    def set_range(self, key: bytes) -> tuple[bytes, bytes] | None:
        """Go to the first key from this one on."""
        self._at = bisect_left(self._records, (key, b""))
        return self._here()

    def next(self) -> tuple[bytes, bytes] | None:
        """Go on."""
        self._at += 1
        return self._here()

    def _here(self) -> tuple[bytes, bytes] | None:
        return self._records[self._at] if self._at < len(self._records) else None


class SurveyTests(SynchronousTestCase):
    """A survey of a file of the least size that is looked at."""

    def setUp(self) -> None:
        """Have no records, and as many messages as the test says."""
        self.records: dict[bytes, bytes] = {}
        self.count = 0
        self.now = 100.0
        self.survey = Survey(lambda: self.count, lambda: self.now, 4096, LEAST_SIZE)

    def fill(self, count: int, size: int) -> None:
        """Have so many records of so many bytes, with keys of two bytes."""
        self.records = {b"%c%c" % divmod(n, 256): b"x" * size for n in range(count)}

    def walk(self) -> int:
        """Wait, and walk; return how many slices that took, 0 for no walk."""
        self.now += INTERVAL
        self.assertTrue(self.survey.isDue(LEAST_SIZE))
        if not self.survey.begin():
            return 0
        slices = 1
        while self.survey.walk(Cursor(self.records), 100):
            slices += 1
        return slices

    def test_interval(self) -> None:
        """Nobody looks all the time, and a small file is as good as it can be."""
        self.assertTrue(self.survey.isDue(LEAST_SIZE))
        self.now += INTERVAL - 1
        self.assertFalse(self.survey.isDue(LEAST_SIZE))
        self.now += 1
        self.assertTrue(self.survey.isDue(LEAST_SIZE))
        self.now += INTERVAL
        self.assertFalse(self.survey.isDue(LEAST_SIZE - 1))

    def test_twice(self) -> None:
        """Little has to be found twice in a row."""
        self.fill(1000, 100)
        self.assertEqual(self.walk(), 10)
        self.assertFalse(self.survey.isWorthIt)
        self.walk()
        self.assertTrue(self.survey.isWorthIt)
        self.assertEqual(self.survey.found, 1000 * 112)

    def test_empty(self) -> None:
        """A file without any message is worth a compaction."""
        self.assertEqual([self.walk(), self.walk()], [1, 1])
        self.assertTrue(self.survey.isWorthIt)

    def test_slices(self) -> None:
        """A slice ends early when the records are large."""
        self.fill(8, SLICE_BYTES // 2)
        self.assertEqual(self.walk(), 4)

    def test_pages(self) -> None:
        """A record of more than a quarter of a page takes whole pages."""
        for size, found in ((1012, 1024), (1013, 4096), (4085, 8192)):
            self.fill(1, size)
            self.walk()
            self.assertEqual(self.survey.found, found)

    def test_tooMuch(self) -> None:
        """A walk ends when it has found too much, and there is none for a while."""
        self.count = 5000
        self.fill(5000, 1100)
        self.assertLess(self.walk() * 60, 2000)
        self.assertGreater(self.survey.found, BUDGET)
        self.now += PAUSE - INTERVAL - 1
        self.assertEqual(self.walk(), 0)
        self.now += 1
        self.assertGreater(self.walk(), 0)

    def test_halved(self) -> None:
        """There is one sooner when half of the messages are gone."""
        self.count = 5000
        self.fill(5000, 1100)
        self.walk()
        self.count = 2501
        self.assertEqual(self.walk(), 0)
        self.count = 2500
        self.fill(10, 10)
        self.assertEqual(self.walk(), 1)

    def test_slow(self) -> None:
        """The longer such a walk took, the longer there is none."""
        self.count = 5000
        self.fill(5000, 1100)
        self.now += INTERVAL
        self.survey.isDue(LEAST_SIZE)
        self.survey.begin()
        began = self.now
        while self.survey.walk(Cursor(self.records), 100):
            self.now += 1
        self.now += (self.now - began) / WALK_SHARE - INTERVAL - 1
        self.assertEqual(self.walk(), 0)
        self.now += 1
        self.assertGreater(self.walk(), 0)

    def test_counts(self) -> None:
        """Very many messages are no reason to walk, and no little."""
        self.walk()
        self.count = BUDGET // LEAST_MESSAGE + 1
        self.assertEqual(self.walk(), 0)
        self.count = 0
        self.walk()
        self.assertFalse(self.survey.isWorthIt)

    def test_tooMuchLater(self) -> None:
        """A file that had little in it and has much is not worth a move."""
        self.walk()
        self.fill(5000, 1100)
        self.walk()
        self.fill(0, 0)
        self.now += PAUSE
        self.walk()
        self.assertFalse(self.survey.isWorthIt)

    def test_pause(self) -> None:
        """A survey that is paused starts from nothing."""
        self.count = 10
        self.walk()
        self.walk()
        self.survey.pause()
        self.assertFalse(self.survey.isWorthIt)
        self.assertEqual(self.walk(), 0)
        self.count = 5
        self.walk()
        self.walk()
        self.assertTrue(self.survey.isWorthIt)
