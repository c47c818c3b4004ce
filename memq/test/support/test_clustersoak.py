"""Tests for bench.clustersoak: the memory of front ends, and what is said of it."""

from __future__ import annotations

from unittest.mock import Mock

from twisted.trial.unittest import SynchronousTestCase

from bench.clustersoak import SOME, WARM, memory, told

ENOUGH = WARM + 2 * SOME


def rounds(*pids: str, count: int = ENOUGH) -> list[dict[str, object]]:
    """Return rounds of a minute each; a MB comes with each of them."""
    return [
        {"at": number * 60.0, "memory": dict.fromkeys(pids, (50 + number) * 1024)}
        for number in range(count)
    ]


class SoakTests(SynchronousTestCase):
    """What is kept, and what is told."""

    def test_memory(self) -> None:
        """It is in kB, by the id of the process."""
        front = Mock(pid=7)
        front.residentNow.return_value = 5 << 20
        self.assertEqual(memory([front]), {"7": 5 << 10})

    def test_told(self) -> None:
        """The middle of the first rounds after the warm-up, and of the last ones."""
        found = told(rounds("7", "8"))
        self.assertIn(f"through {ENOUGH} of these rounds, in 11 minutes", found)
        self.assertIn("54.0 and 59.0 MB, 54.0 and 59.0 MB (the middle of 5", found)

    def test_few(self) -> None:
        """Few rounds, and those of before memory was kept, say nothing."""
        self.assertEqual(told(rounds("7", count=ENOUGH - 1)), "")
        self.assertEqual(told([{"fault": "node"}] * ENOUGH), "")

    def test_order(self) -> None:
        """Those who went through the most come first."""
        found = told([*rounds("7"), *rounds("8", count=ENOUGH + 3)])
        self.assertEqual(
            [line.split()[6] for line in found.splitlines() if line],
            [str(ENOUGH + 3), str(ENOUGH)],
        )
