"""Whatever is asked of the API: nothing fails, and all is told."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from twisted.logger import LogLevel, capturedLogs

from memq.test.web.api.actions.base import ActionTestCase
from memq.test.web.api.actions.test_queues import ACTIONS
from memq.test.web.api.test_names import NAMES
from memq.web.api.names import shown

QUICK = settings(
    max_examples=200,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
#: Values of fields, those that are allowed and others.
SIMPLE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(["q", "r", "hex:ff", "hex:", "aGk=", "a/b", "\ud800", 1 << 63])
)
VALUES = st.recursive(SIMPLE, lambda inner: st.lists(inner, max_size=2), max_leaves=4)
FIELDS = st.sampled_from(
    [
        *("reads", "writes", "confirm", "to", "max", "body", "text", "flags"),
        *("expires", "delay", "max_items", "x", ""),
    ]
)
QUERY = st.sampled_from(
    [
        *("", "?", "?limit=1", "?limit=x", "?sort=age&order=desc", "?after=1:q"),
        *("?match=[", "?match=%ff*", "?%ff=%00", "?history=1", "?key=max_age"),
    ]
)
#: What may be answered; never 500.
CODES = {200, 400, 404, 405, 409, 413, 507}


class HostileTests(ActionTestCase):
    """Requests with any fields, and names."""

    def setUp(self) -> None:
        """Be a server whose rules are read at once, and clients are never cut."""
        super().setUp()
        self.client.transport.abortConnection = lambda: None

    def check(self, path: str, method: str, body: bytes) -> None:
        """Send a request, and check that it is answered."""
        with capturedLogs() as events:
            reply = self.call(path, method, body)
        loud = [each for each in events if each["log_level"] > LogLevel.info]
        self.assertEqual(loud, [])
        self.assertIn(reply.code, CODES, (path, body))
        told = json.loads(reply.body)
        self.assertEqual("error" in told, reply.code != 200)
        self.assertEqual(self.site.busy, set())

    @QUICK
    @given(
        st.sampled_from(ACTIONS),
        st.dictionaries(FIELDS, VALUES, max_size=3),
        st.booleans(),
        QUERY,
    )
    def test_fields(
        self,
        action: tuple[str, str, dict[str, Any]],
        fields: dict[str, Any],
        isMixed: bool,
        query: str,
    ) -> None:
        """Fields may be anything."""
        path, method, usual = action
        if path == "/reload":
            return
        given = {**usual, **fields} if isMixed else fields
        self.check(path + query, method, json.dumps(given).encode())

    @QUICK
    @given(st.sampled_from(ACTIONS), st.binary(max_size=40))
    def test_bodies(self, action: tuple[str, str, dict[str, Any]], body: bytes) -> None:
        """So may bodies."""
        path, method, _ = action
        if path != "/reload":
            self.check(path, method, body)

    @QUICK
    @given(NAMES, QUERY)
    def test_names(self, name: bytes, query: str) -> None:
        """A queue of any name is set, told, listed and deleted by it."""
        path = f"/queues/{quote(shown(name), safe='')}"
        self.told(f"{path}/messages", "POST", {"text": ""})
        rows = self.told("/queues")["queues"]
        self.assertIn(shown(name), [row["name"] for row in rows])
        self.assertEqual(self.told(path)["name"], shown(name))
        for each in (path, f"/queues/{quote(name, safe='')}/messages", "/queues"):
            self.check(each + query, "GET", b"")
        self.told(path, "DELETE", {"confirm": shown(name)})
