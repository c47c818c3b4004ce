"""Whatever comes: bytes that are no request, names that are no text."""

from __future__ import annotations

import re

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parseOpen,
)
from prometheus_client.parser import text_string_to_metric_families as parseText
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from memq.test.web.base import WebTestCase
from memq.web.metrics.exposition import exposed, queueLabel
from memq.web.metrics.queuefigures import queueFamilies
from memq.web.metrics.survey import FIGURES, Rows

#: Pieces of requests, in order and out of it.
PIECES = [
    *(b"GET ", b"HEAD ", b"POST ", b"/metrics", b"/metrics/queues", b"/readyz", b"/"),
    *(b"?match=", b"&figure=messages", b"&figure=", b"%", b"%00", b"%ff", b"*", b"["),
    *(b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0", b"\r\n", b"\r\n\r\n", b"\n", b"\0"),
    *(b"Host: localhost\r\n", b"Host: evil\r\n", b"Host:\r\n", b": ", b"x" * 999),
    *(b"Content-Length: 3\r\n", b"Content-Length: -1\r\n", b"abc", b"\xff", b" "),
    *(b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"0\r\n\r\n"),
    *(b"Connection: close\r\n", b"Accept-Encoding: gzip;q=\r\n", b"Accept: ;;,q=,\r\n"),
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /metrics/queues?match=[!&match=* HTTP/1.1\r\nHost: [::1]\r\n\r\n",
]
NAMES = st.binary(min_size=1, max_size=250).filter(
    lambda name: not re.search(rb"[\x00-\x20\x7f/]", name)
)
QUICK = settings(max_examples=150, phases=[Phase.explicit, Phase.generate])


class HostileTests(WebTestCase):
    """Connections that send anything."""

    @QUICK
    @given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=9), max_size=30))
    def test_anything(self, pieces: list[bytes]) -> None:
        """Nothing fails, every reply has its headers, and others are answered."""
        visitor = self.visitor()
        with capturedLogs() as events:
            for piece in pieces:
                if not (visitor.isGone or visitor.transport.disconnecting):
                    visitor.send(piece)
            replies = visitor.read()
        visitor.leave()
        self.assertEqual([e for e in events if e["log_level"] > LogLevel.info], [])
        codes = re.findall(rb"^HTTP/1\.[01] (\d+) ", replies, re.M)
        allowed = {b"100", b"200", b"400", b"404", b"405", b"413", b"421"}
        self.assertLessEqual(set(codes), allowed)
        self.assertEqual(self.ask("/healthz").code, 200)
        self.assertEqual(self.site.busy, set())


class NameTests(SynchronousTestCase):
    """Queues with any names."""

    @QUICK
    @given(st.sets(NAMES, max_size=9))
    def test_names(self, names: set[bytes]) -> None:
        """The parsers of both formats find each of them, and no other."""
        rows = Rows()
        for name in names:
            rows.add([name], [[1]] * len(FIGURES))
        expected = sorted(map(queueLabel, names))
        self.assertEqual(len(set(expected)), len(names))
        for parse, isOpen in ((parseText, False), (parseOpen, True)):
            pieces = exposed(queueFamilies(rows, ["messages"]), isOpen)
            found = [
                sample.labels["queue"]
                for family in parse(b"".join(pieces).decode())
                for sample in family.samples
            ]
            self.assertEqual(sorted(found), expected)
