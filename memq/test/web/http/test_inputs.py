"""Parameters and fields are known, and have values that are allowed."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from memq.web.http.inputs import (
    DEPTH,
    Input,
    Refused,
    readBody,
    readQuery,
    text,
    truth,
    whole,
    word,
)

QUERY = (
    Input("limit", whole(1, 10), 5),
    Input("sort", word("name", "age"), "name"),
    Input("match", bytes, b"*"),
)
FIELDS = (
    Input("reads", truth, False),
    Input("max", whole(0, 10)),
    Input("to", text, isNeeded=True),
)


class InputTestCase(SynchronousTestCase):
    """Reads bodies."""

    def why(self, data: bytes) -> str:
        """Return why a body is refused."""
        error = self.assertRaises(Refused, readBody, data, FIELDS)
        self.assertEqual((error.code, error.headers), (400, {}))
        return str(error)


class QueryTests(SynchronousTestCase):
    """Parameters."""

    def read(self, **given: bytes) -> dict[str, Any]:
        """Return the parameters of a query."""
        return readQuery({name.encode(): [v] for name, v in given.items()}, QUERY)

    def test_values(self) -> None:
        """Each has a value, whether it is given or not."""
        self.assertEqual(self.read(), {"limit": 5, "sort": "name", "match": b"*"})
        found = self.read(limit=b"010", sort=b"age", match=b"\xff?")
        self.assertEqual(found, {"limit": 10, "sort": "age", "match": b"\xff?"})

    def test_wrong(self) -> None:
        """What is not allowed is refused, with what is."""
        for given, why in (
            ({"limit": b"0"}, "limit must be a whole number from 1 to 10"),
            ({"limit": b"11"}, "limit must be a whole number from 1 to 10"),
            ({"limit": b"9" * 21}, "limit must be a whole number from 1 to 10"),
            ({"limit": b"-1"}, "limit must be a whole number from 1 to 10"),
            ({"limit": b""}, "limit must be a whole number from 1 to 10"),
            ({"sort": b"\xff"}, "sort must be name or age"),
            ({"x": b"1"}, '"x" is not known; parameters: limit, sort, match'),
            ({"x" * 99: b""}, f'"{"x" * 60}..." is not known; parameters: limit,'),
        ):
            error = self.assertRaises(Refused, self.read, **given)
            self.assertEqual(error.code, 400)
            self.assertTrue(str(error).startswith(why), str(error))

    def test_twice(self) -> None:
        """One that is given twice is refused."""
        for name, shown in ((b"limit", '"limit"'), (b"\xff", '"\\u00ff"')):
            error = self.assertRaises(Refused, readQuery, {name: [b"1", b"2"]}, QUERY)
            self.assertEqual(str(error), f"{shown} is given twice")

    def test_none(self) -> None:
        """There may be none to give."""
        error = self.assertRaises(Refused, readQuery, {b"\xff": [b""]}, ())
        self.assertEqual(str(error), '"\\\\xff" is not known; parameters: none')


class FieldTests(InputTestCase):
    """Fields of bodies."""

    def test_values(self) -> None:
        """Each has a value, whether it is given or not."""
        self.assertEqual(
            readBody(b'{"to": "\xe9\x98\x9f"}', FIELDS),
            {"reads": False, "max": None, "to": "队"},
        )
        self.assertEqual(
            readBody(b' {"reads": true, "max": 0, "to": ""} ', FIELDS),
            {"reads": True, "max": 0, "to": ""},
        )

    def test_empty(self) -> None:
        """No body is one without fields."""
        for data in (b"", b" \r\n", b"{}"):
            self.assertEqual(readBody(data, ()), {})
            self.assertEqual(self.why(data), "to is missing")

    def test_wrong(self) -> None:
        """What is not allowed is refused, with what is."""
        for data, why in (
            (b'{"to":"","reads":1}', "reads must be true or false"),
            (b'{"to":"","reads":null}', "reads must be true or false"),
            (b'{"to":"","max":"1"}', "max must be a whole number from 0 to 10"),
            (b'{"to":"","max":1.0}', "max must be a whole number from 0 to 10"),
            (b'{"to":"","max":true}', "max must be a whole number from 0 to 10"),
            (b'{"to":"","max":-1}', "max must be a whole number from 0 to 10"),
            (b'{"to":1}', "to must be text"),
            (b'{"to":"\\ud800"}', "to must be text"),
            (b'{"To":""}', '"To" is not known; fields: reads, max, to'),
            (b'{"a\\nb\\u2028":""}', '"a\\nb\\u2028" is not known; fields: reads, m'),
        ):
            self.assertTrue(self.why(data).startswith(why), self.why(data))

    def test_noObject(self) -> None:
        """It has to be an object."""
        for data in (b"[]", b"1", b"null", b'""', b"true"):
            expected = "the body must be a JSON object, such as {}"
            self.assertEqual(self.why(data), expected)

    def test_noJson(self) -> None:
        """It has to be JSON, without what only some take for it."""
        for data in (
            *(b"{", b"}", b"{}{}", b"{'to':1}", b"\xff", b'{"to":"\xff"}', b"\xef\xbb"),
            *(b'{"to":"","to":""}', b'{"max":NaN}', b'{"max":-Infinity}', b'{"to"'),
            b'{"max":' + b"9" * 5000 + b"}",
        ):
            self.assertIn("the body is no JSON in UTF-8: ", self.why(data))

    def test_deep(self) -> None:
        """It is not nested deeply, but for brackets in strings."""
        deep = DEPTH * b"[" + DEPTH * b"]"
        self.assertIn("a JSON object", self.why(deep))
        for data in (b"[" + deep + b"]", b"[" * 60_000, b'{"a":' * 9000):
            self.assertEqual(self.why(data), f"the body is nested deeper than {DEPTH}")
        data = b'{"to":"' + b'[\\"{' * 9 + b'"}'
        self.assertEqual(readBody(data, FIELDS)["to"], '["{' * 9)
