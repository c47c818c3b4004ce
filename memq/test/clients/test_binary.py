"""The clients of test_clients.py that can be told to speak the binary protocol."""

from __future__ import annotations

from memq.test.clients import cases, drivers, libraries, tools
from memq.test.clients.client import SPOKEN

if "binary" in SPOKEN:
    cases.define(globals(), drivers.BinaryPHPMemcache, drivers.BinaryPHPMemcached)

    class PylibmcTests(cases.ReaderCase):
        """pylibmc."""

        clientClass = libraries.BinaryPylibmc

        async def test_stats(self) -> None:
            """The general statistics arrive, as in text."""
            counts = await self.client.stats()
            self.assertEqual(counts["pid"], str(cases.server().pid))

    class ToolsTests(cases.ClientCase):
        """libmemcached's tools; memcping knows text alone."""

        clientClass = tools.BinaryTools
