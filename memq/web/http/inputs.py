"""Inputs: the parameters of a query, and the fields of a body of JSON.

Each is described once; what is not described is refused by its name, with what there
is, and a value that is not allowed with what is.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.display import choice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

#: How deep a body may be nested.
DEPTH = 4
#: Characters of a name, or of a value, that an error repeats.
_SHOWN = 60
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
#: Half a character, which JSON can say, and UTF-8 cannot.
_SURROGATE = re.compile("[\ud800-\udfff]")
_BRACKET = re.compile(rb"[\[\]{}]")


class Refused(Exception):
    """A request that is not carried out.

    :ivar code: the status of the reply.
    :ivar headers: further headers of it.
    """

    def __init__(self, code: int, words: str, **headers: str) -> None:
        """Say why, in words for whoever asked."""
        super().__init__(words)
        self.code = code
        self.headers = headers


class Input(NamedTuple):
    """A parameter, or a field.

    :ivar parse: makes the value of what came, the bytes of a parameter or the value of
        a field; it raises ValueError with what is allowed.
    :ivar default: the value when it is not given.
    :ivar isNeeded: whether it has to be given.
    """

    name: str
    parse: Callable[[Any], Any]
    default: Any = None
    isNeeded: bool = False


def truth(value: object) -> bool:
    """Return the value of a field that is true or false."""
    if isinstance(value, bool):
        return value
    raise ValueError("must be true or false")


def text(value: object) -> str:
    """Return the value of a field that is text."""
    if isinstance(value, str) and not _SURROGATE.search(value):
        return value
    raise ValueError("must be text")


def whole(low: int, high: int) -> Callable[[Any], int]:
    """Return what takes a whole number, of a field or of a parameter."""

    def parse(value: object) -> int:
        if isinstance(value, bytes) and re.fullmatch(rb"[0-9]{1,20}", value):
            value = int(value)
        if type(value) is int and low <= value <= high:
            return value
        raise ValueError(f"must be a whole number from {low} to {high}")

    return parse


def word(*words: str) -> Callable[[Any], str]:
    """Return what takes one of some words, as a parameter."""

    def parse(value: bytes) -> str:
        given = value.decode("ascii", "replace")
        if given in words:
            return given
        raise ValueError(f"must be {choice(words)}")

    return parse


def readQuery(
    args: Mapping[bytes, Sequence[bytes]], inputs: Sequence[Input]
) -> dict[str, Any]:
    """Return the parameters of a query.

    :raise Refused: when one is not known, is there twice, or has another value.
    """
    given: dict[str, bytes] = {}
    for name, values in args.items():
        given[name.decode("utf-8", "backslashreplace")] = values[0]
        if len(values) > 1:
            raise Refused(400, f"{_shown(name.decode('latin-1'))} is given twice")
    return _read(given, inputs, "parameters")


def readBody(data: bytes, inputs: Sequence[Input]) -> dict[str, Any]:
    """Return the fields of a body, which may be empty.

    :raise Refused: when it is no JSON object of these fields.
    """
    given = _loads(data) if data.strip() else {}
    if not isinstance(given, dict):
        raise Refused(400, "the body must be a JSON object, such as {}")
    return _read(given, inputs, "fields")


def _loads(data: bytes) -> Any:
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", data)):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEPTH:
            raise Refused(400, f"the body is nested deeper than {DEPTH}")
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_withoutTwins,
            parse_constant=_refuseConstant,
        )
    except ValueError as error:
        raise Refused(400, f"the body is no JSON in UTF-8: {error}") from None


def _withoutTwins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is given twice")
    return found


def _refuseConstant(name: str) -> None:
    raise ValueError(f"there is no {name}")


def _read(
    given: Mapping[str, Any], inputs: Sequence[Input], what: str
) -> dict[str, Any]:
    known = {each.name for each in inputs}
    for name in given:
        if name not in known:
            allowed = _listed(each.name for each in inputs)
            raise Refused(400, f"{_shown(name)} is not known; {what}: {allowed}")
    return {each.name: _value(given, each) for each in inputs}


def _value(given: Mapping[str, Any], described: Input) -> Any:
    name = described.name
    if name not in given:
        if described.isNeeded:
            raise Refused(400, f"{name} is missing")
        return described.default
    try:
        return described.parse(given[name])
    except ValueError as error:
        raise Refused(400, f"{name} {error}") from None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _shown(name: str) -> str:
    """Return a name as it may be repeated, in JSON's way of quoting."""
    return json.dumps(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}...")
