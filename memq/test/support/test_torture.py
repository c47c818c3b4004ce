"""Tests for memq.test.support.torture."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from memq.test.support.torture import report, rounds, told, whole


class RoundsTests(SynchronousTestCase):
    """How long a test goes on."""

    def test_few(self) -> None:
        """By itself it has as many rounds as it says."""
        self.assertEqual(list(rounds(3, {})), [0, 1, 2])

    def test_seconds(self) -> None:
        """Told how long, it goes on until then, and has one round at least."""
        times = iter([100.0, 101.0, 105.0, 110.0])
        environ = {"MEMQ_TORTURE_SECONDS": "10"}
        self.assertEqual(list(rounds(1, environ, times.__next__)), [0, 1, 2])

    def test_whole(self) -> None:
        """A whole test's figure is used only then."""
        environ = {"MEMQ_TORTURE_SECONDS": "10"}
        self.assertEqual((whole(1, 9, {}), whole(1, 9, environ)), (1, 9))


class ToldTests(SynchronousTestCase):
    """Words that are said with a failure."""

    def test_told(self) -> None:
        """An error carries the words, and is no other error."""

        def fail() -> None:
            with told("seed 5"):
                raise KeyError("k")

        error = self.assertRaises(KeyError, fail)
        self.assertEqual(error.args, ("seed 5: 'k'",))


class ReportTests(SynchronousTestCase):
    """Reports that a test writes down."""

    def test_report(self) -> None:
        """Each report is a line of JSON in the file that is named."""
        path = os.path.abspath(self.mktemp())
        environ = {"MEMQ_TORTURE_REPORT": path}
        report("kills", environ, rounds=2)
        report("cuts", environ, found="nothing")
        with open(path, encoding="utf-8") as file:
            self.assertEqual(
                file.read(),
                '{"test": "kills", "rounds": 2}\n'
                '{"test": "cuts", "found": "nothing"}\n',
            )

    def test_nobodyAsks(self) -> None:
        """Where no file is named, nothing is written."""
        report("kills", {}, rounds=2)
