"""Pages of other sites are told from this one's."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from memq.web.http.guard import isForeign, isJson


def headers(**values: str) -> Headers:
    """Return headers; Host is there unless it is given."""
    given = {"Host": "localhost:22280", **values}
    return Headers({name.replace("_", "-"): [each] for name, each in given.items()})


class ForeignTests(SynchronousTestCase):
    """Who asks."""

    def test_fetchSite(self) -> None:
        """A browser says which site asks, and that decides."""
        for site, expected in (
            ("same-origin", False),
            ("none", False),
            ("cross-site", True),
            ("same-site", True),
            ("Same-Origin", True),
            ("", True),
        ):
            for origin in ({}, {"Origin": "http://localhost:22280"}, {"Origin": "x"}):
                given = headers(Sec_Fetch_Site=site, **origin)
                self.assertIs(isForeign(given), expected, site)

    def test_fetchSiteTwice(self) -> None:
        """One of several is enough."""
        given = headers(Sec_Fetch_Site="none")
        given.addRawHeader("Sec-Fetch-Site", "cross-site")
        self.assertTrue(isForeign(given))

    def test_origin(self) -> None:
        """Where it does not, the origin has to be the host."""
        for origin, expected in (
            ("http://localhost:22280", False),
            ("https://LOCALHOST:22280", False),
            ("http://localhost", True),
            ("http://localhost:80", True),
            ("http://evil", True),
            ("http://localhost:22280.evil", True),
            ("null", True),
            ("", True),
            ("localhost:22280", True),
        ):
            self.assertIs(isForeign(headers(Origin=origin)), expected, origin)

    def test_originWithoutHost(self) -> None:
        """A request for no host is of no page of it."""
        for origin in ("null", "http://localhost", "http:/"):
            self.assertTrue(isForeign(Headers({"Origin": [origin]})), origin)

    def test_program(self) -> None:
        """Neither is there where no browser asks."""
        self.assertFalse(isForeign(headers()))


class JsonTests(SynchronousTestCase):
    """What a body is said to be."""

    def test_types(self) -> None:
        """It has to be said that it is JSON, once."""
        for kind, expected in (
            ("application/json", True),
            ("Application/JSON; charset=utf-8", True),
            ("text/plain", False),
            ("application/json2", False),
            ("application/x-www-form-urlencoded", False),
            ("multipart/form-data; boundary=x", False),
        ):
            self.assertIs(isJson(headers(Content_Type=kind)), expected, kind)
        self.assertFalse(isJson(headers()))
        twice = headers(Content_Type="application/json")
        twice.addRawHeader("Content-Type", "application/json")
        self.assertFalse(isJson(twice))
