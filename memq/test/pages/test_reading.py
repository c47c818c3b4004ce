"""CONTRIBUTING.md lists the files of a plain set and get: few, short, and all run."""

from __future__ import annotations

import os
import re
from cProfile import Profile

from memq.test.pages.pages import PageTestCase, readPage, sections
from memq.test.support.harness import Harness
from memq.test.support.homes import BDBTestCase
from testkit.servers import ROOT

#: The promise: so many files, and lines of all of them, at most.
FILES, LINES = 15, 4500


def filesRun(profile: Profile) -> set[str]:
    """Return the files of memq whose functions were called."""
    codes = (entry.code for entry in profile.getstats())
    paths = {code.co_filename for code in codes if not isinstance(code, str)}
    files = {os.path.relpath(path, ROOT) for path in paths}
    return {file for file in files if re.match("memq/(?!test/)", file)}


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
        with Profile() as profile:
            answers = client.talk(b"set q 0 0 2\r\nhi\r\n"), client.talk(b"get q\r\n")
        self.assertEqual(answers, (b"STORED\r\n", b"VALUE q 0 2\r\nhi\r\nEND\r\n"))
        run = filesRun(profile)
        self.assertEqual(set(self.files) - run, set())
        page = sections(readPage("CONTRIBUTING.md"))
        (named,) = (each.words for each in page if self.files[0] in each.words)
        self.assertEqual([f for f in run if not f.startswith(tuple(named))], [])
