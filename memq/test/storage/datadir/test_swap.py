"""New files take the place of old ones, as a whole, and the old ones stay."""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import DamagedHome, UnusableHome
from memq.storage.datadir.damage import REPORT, RULES, WORK, beginSwap, finishSwap


class SwapTests(SynchronousTestCase):
    """Files that a swap leaves."""

    def setUp(self) -> None:
        """Make old files, and new ones below them."""
        self.home = os.path.abspath(self.mktemp())
        self.directory = os.path.join(self.home, "memq")
        os.makedirs(os.path.join(self.directory, WORK, "memq"))
        for name in ("lock", "VERSION", "table", "ballast", "ahead"):
            self.write(name, "old")
        for name in ("lock", "VERSION", "table"):
            self.write(f"{WORK}/memq/{name}", "new")

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        with open(os.path.join(self.directory, name), "w") as file:
            file.write(text)

    def files(self, name: str) -> dict[str, str]:
        """Return what is in the files of a directory of the home's."""
        found = {}
        for file in os.listdir(os.path.join(self.home, name)):
            with open(os.path.join(self.home, name, file)) as opened:
                found[file] = opened.read()
        return found

    def test_swap(self) -> None:
        """The old files are beside, with the report; the lock stays where it is."""
        self.write(f"{WORK}/{REPORT}", "what is missing")
        aside = beginSwap(self.directory)
        self.assertEqual(aside, os.path.join(self.home, "memq.damaged"))
        self.assertEqual(
            self.files("memq"), {"lock": "old", "VERSION": "new", "table": "new"}
        )
        self.assertEqual(
            self.files("memq.damaged"),
            {"VERSION": "old", "table": "old", REPORT: "what is missing"},
        )

    def test_withoutVersion(self) -> None:
        """A home may have no VERSION."""
        os.unlink(os.path.join(self.directory, "VERSION"))
        beginSwap(self.directory)
        self.assertEqual(self.files("memq.damaged"), {"table": "old"})
        self.assertEqual(self.files("memq")["VERSION"], "new")

    def test_rules(self) -> None:
        """Rules that were set online stay: what is damaged is none of theirs."""
        self.write(RULES, "rules")
        beginSwap(self.directory)
        self.assertEqual(self.files("memq")[RULES], "rules")
        self.assertNotIn(RULES, self.files("memq.damaged"))

    def test_nothing(self) -> None:
        """Where none was begun, none is finished."""
        finishSwap(self.directory)
        self.assertEqual(os.listdir(self.home), ["memq"])

    def test_otherFileSystem(self) -> None:
        """A file that could not be moved is refused before any is moved."""
        real = os.stat

        class Other:
            st_dev = -1

        def stat(path: str) -> Any:
            return Other if path == self.home else real(path)

        patch = self.patch(os, "stat", stat)
        error = self.assertRaises(UnusableHome, beginSwap, self.directory)
        patch.restore()
        self.assertIn("is a file system of its own", str(error))
        finishSwap(self.directory)
        self.assertEqual(os.listdir(self.home), ["memq"])

    def test_damaged(self) -> None:
        """A swap that does not say how far it is is refused, and touches nothing."""
        for text in ("", "out", "in ../x", "off memq.damaged"):
            self.write("swap", text)
            error = self.assertRaises(DamagedHome, finishSwap, self.directory)
            self.assertIn("swap is damaged", str(error))
        self.assertEqual(os.listdir(self.home), ["memq"])
