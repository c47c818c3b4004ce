"""docs/clients.md: its rows are clients that are tested, as they are tested."""

from __future__ import annotations

import inspect
import os
import re
from glob import glob

from memq.test.clients import drivers, fetched, libraries, proxies, test_timeouts, tools
from memq.test.clients.client import Client
from memq.test.pages.pages import PageTestCase, readPage, tables
from testkit.servers import ROOT

PAGE = "docs/clients.md"
MODULES = (drivers, fetched, libraries, proxies, tools)
HEADER = [
    *("client", "protocol", "configuration", "gives up", "good to know", "test"),
]


class RowTests(PageTestCase):
    """The rows of all tables of clients."""

    def setUp(self) -> None:
        """Find rows, and the clients of the tests by the names of their classes."""
        super().setUp()
        self.rows = [
            dict(zip(HEADER, row, strict=True))
            for table in tables(readPage(PAGE))
            if table.header == HEADER
            for row in table.rows
        ]
        self.clients = {
            name: each
            for module in MODULES
            for name, each in vars(module).items()
            if isinstance(each, type) and issubclass(each, Client)
            if not name.startswith("_") and not inspect.isabstract(each)
        }
        self.tested = {row["test"].strip("`"): row for row in self.rows if row["test"]}

    def test_clients(self) -> None:
        """Each client that is tested has one row, with its protocol."""
        told = [row["test"].strip("`") for row in self.rows if row["test"]]
        base = {"Library", "Driver"}
        self.assertEqual(sorted(told), sorted(set(self.clients) - base))
        for name, row in self.tested.items():
            self.assertEqual(row["protocol"], self.clients[name].protocol, name)

    def test_versions(self) -> None:
        """The versions are those that the Makefile fetches."""
        with open(os.path.join(ROOT, "Makefile"), encoding="utf-8") as file:
            makefile = file.read()
        fetched = re.findall(r"^CLIENT_(?:.|\\\n)*?[^\\]$", makefile, re.MULTILINE)
        pinned = re.findall(r"([a-z-]+)(?:==|@)(\d[\d.]*)", "".join(fetched))
        self.assertTrue(pinned)
        names = {row["client"] for row in self.rows}
        for name, version in pinned:
            self.assertTrue(any(f"{name} {version}" in each for each in names), name)

    def test_timeouts(self) -> None:
        """The page says what becomes of a connection as test_timeouts.py finds it."""
        for clientClass, outcome in test_timeouts.TABLE.items():
            row = self.tested[clientClass.__name__]
            self.assertIn(outcome, row["gives up"].split(), clientClass.__name__)

    def test_configuration(self) -> None:
        """Each option that a row names is one that the client is driven with."""
        texts = []
        for path in glob(os.path.join(ROOT, "memq/test/clients/*")):
            if os.path.isfile(path) and not path.endswith("test_page.py"):
                with open(path, encoding="utf-8") as file:
                    texts.append(file.read())
        for name, row in self.tested.items():
            for word in re.findall(
                r"\b[A-Za-z_]{5,}(?=[=:(]| =>)", row["configuration"]
            ):
                self.assertTrue(any(word in text for text in texts), f"{name}: {word}")
