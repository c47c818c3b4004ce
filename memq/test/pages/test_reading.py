"""CONTRIBUTING.md lists the files of a plain set and get: few, short, and all run."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from memq.test.support.harness import Harness
from memq.test.support.homes import BDBTestCase
from memq.test.support.pages import PageTestCase, readPage, sections
from testkit.servers import ROOT

if TYPE_CHECKING:
    from types import FrameType

#: The promise: so many files, and lines of all of them, at most.
FILES, LINES = 15, 4500


class Files:
    """Notes the files of memq whose functions are called, within ``with``."""

    def __init__(self) -> None:
        """Begin with none."""
        self.run: set[str] = set()

    def _note(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            self.run.add(os.path.relpath(frame.f_code.co_filename, ROOT))

    def __enter__(self) -> Files:
        """Begin to note."""
        self._before = sys.getprofile()
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it to the profiler that was there before."""
        sys.setprofile(self._before)


class ReadingTests(PageTestCase, BDBTestCase):
    """The list of files to read in an evening."""

    def setUp(self) -> None:
        """Read the list."""
        super().setUp()
        found = self.table("CONTRIBUTING.md", "file", "what it does")
        self.files = [file.strip("`") for file, _ in found.rows]

    def test_size(self) -> None:
        """The files are as few and as short as CONTRIBUTING.md promises."""
        lines = sum(len(readPage(file).splitlines()) for file in self.files)
        self.assertEqual(len(set(self.files)), len(self.files))
        self.assertLessEqual(len(self.files), FILES)
        self.assertLessEqual(lines, LINES)
        self.assertIn(f"at most {LINES:,} lines", readPage("CONTRIBUTING.md"))

    def test_path(self) -> None:
        """Each one runs for a plain set and get, and the page names all that run."""
        harness = Harness(store=self.openStore())
        harness.broker.start()
        client = harness.connect()
        client.talk(b"set q 0 0 2\r\nhi\r\nget q\r\n")
        with Files() as files:
            answers = client.talk(b"set q 0 0 2\r\nhi\r\n"), client.talk(b"get q\r\n")
        self.assertEqual(answers, (b"STORED\r\n", b"VALUE q 0 2\r\nhi\r\nEND\r\n"))
        self.assertEqual(set(self.files) - files.run, set())
        page = sections(readPage("CONTRIBUTING.md"))
        (named,) = (each.words for each in page if self.files[0] in each.words)
        ours = {file for file in files.run if file.startswith("memq/")}
        self.assertEqual(
            {f for f in ours if not f.startswith((*named, "memq/test/"))}, set()
        )
