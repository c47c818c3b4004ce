"""Where messages land, against a few lines that say so."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.operations.routing import RELATIVE, expiry
from memq.policy.effective import PLAIN, EffectivePolicy
from memq.policy.rules import Rule
from memq.storage.memory import MemoryStore
from memq.test.commands.test_protocol import END, STORED, put, value
from memq.test.operations.test_pushes import NOT_STORED, rules
from memq.test.support.harness import Harness
from memq.test.support.homes import details
from memq.test.support.stepped import SteppedTestCase


class ExpiryTests(SynchronousTestCase):
    """Memcached's rule."""

    def test_rule(self) -> None:
        """0 is never, up to 30 days are from now on, and more is a time of day."""
        policy = EffectivePolicy(Rule(honorExptime=True))
        now = 1_700_000_000_500
        for exptime, expected in (
            (0, 0),
            (-1, None),
            (1, now + 1000),
            (RELATIVE, now + RELATIVE * 1000),
            (RELATIVE + 1, None),
            (1_700_000_000, None),
            (1_700_000_001, 1_700_000_001_000),
            (9_999_999_999, 9_999_999_999_000),
        ):
            self.assertEqual(expiry(policy, exptime, now), expected, exptime)
            self.assertEqual(expiry(PLAIN, exptime, now), 0)


class Model:
    """A model of limits and fan-out, in a few lines."""

    def __init__(self, queues: dict[bytes, Rule]) -> None:
        self.rules = queues
        self.queues: dict[bytes, list[bytes]] = {}
        self.discarded = 0

    def set(self, queue: bytes, body: bytes) -> bool:
        """Append, if all agree."""
        names = self.rules[queue].reaches or (queue,)
        after = {name: self.put(name, body) for name in names}
        if None in after.values():
            return False
        for name, bodies in after.items():
            assert bodies is not None
            self.discarded += len(self.queues.get(name, [])) + 1 - len(bodies)
            self.queues[name] = bodies
        return True

    def put(self, queue: bytes, body: bytes) -> list[bytes] | None:
        """Return what a queue would be with a message more, None if it refuses."""
        rule = self.rules[queue]
        bodies = [*self.queues.get(queue, []), body]

        def isTooMuch() -> bool:
            size = sum(map(len, bodies))
            items = bool(rule.maxItems) and len(bodies) > rule.maxItems
            return items or (bool(rule.maxBytes) and size > rule.maxBytes)

        while rule.dropOldest and len(bodies) > 1 and isTooMuch():
            del bodies[0]
        return None if isTooMuch() else bodies

    def get(self, queue: bytes) -> bytes | None:
        """Take the oldest."""
        bodies = self.queues.get(queue)
        return bodies.pop(0) if bodies else None


NAMES = (b"a", b"b", b"c", b"d")


def _rule(number: int) -> Any:
    """Return a strategy for the rules of a queue, which hands on to later ones."""
    later = some.lists(some.sampled_from(NAMES[number + 1 :] or [b"d"]), max_size=2)
    return some.fixed_dictionaries(
        {
            "maxItems": some.integers(0, 3),
            "maxBytes": some.integers(0, 6),
            "dropOldest": some.booleans(),
            "fanout": some.just(()) if number == 3 else later.map(tuple),
            "fanoutOnly": some.booleans(),
        }
    )


class ModelTests(SteppedTestCase):
    """Limits and fan-out against the model."""

    @settings(max_examples=60)
    @example(
        (
            {"maxItems": 2, "dropOldest": True, "fanout": (b"b", b"c")},
            {"maxBytes": 5},
            {"fanout": (b"d",), "fanoutOnly": True},
            {"maxItems": 3},
        ),
        [
            *[(b"a", 1), (b"a", 2), (b"a", 2), (b"a", 1), (b"b", None), (b"a", 1)],
            *[(b"c", 3), (b"d", None), (b"a", None), (b"a", None), (b"a", None)],
        ],
        2,
    )
    @given(
        some.tuples(*map(_rule, range(4))),
        some.lists(
            some.tuples(some.sampled_from(NAMES), some.integers(0, 7) | some.none()),
            max_size=30,
        ),
        some.integers(1, 9),
    )
    def test_same(
        self,
        drawn: tuple[dict[str, Any], ...],
        commands: list[tuple[bytes, int | None]],
        together: int,
    ) -> None:
        """Whatever the rules are, sets and gets do what the model does."""
        made = rules(**dict(zip("abcd", drawn, strict=True)))
        model = Model({name: made.of(name) or Rule() for name in NAMES})
        harness = Harness(store=MemoryStore(lambda: 0.0), rules=made)
        client = harness.connect()
        sent, expected = [], []
        for number, (queue, size) in enumerate(commands):
            if size is None:
                sent.append(b"get %b\r\n" % queue)
                found = model.get(queue)
                expected.append((b"" if found is None else value(queue, found)) + END)
            else:
                body = (b"%d-------" % number)[:size]
                sent.append(put(queue, body))
                expected.append(STORED if model.set(queue, body) else NOT_STORED)
        answered = b""
        for first in range(0, len(sent), together):
            answered += client.talk(b"".join(sent[first : first + together]))
        self.assertEqual(answered, b"".join(expected))
        told = details(harness.store)
        for name in NAMES:
            bodies = model.queues.get(name, [])
            self.assertEqual(
                harness.store.kept(name)[:2], (len(bodies), sum(map(len, bodies)))
            )
        self.assertEqual(sum(each.discarded for each in told), model.discarded)
