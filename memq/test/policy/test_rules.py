"""Each queue has the rule that its tables make, and no queue hands on to itself."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.policy import rules
from memq.policy.patterns import Pattern
from memq.policy.rule import FIELDS
from memq.policy.rules import NOWHERE, READS, Rule, RuleError, Rules, Table

#: Names of few bytes, so that many match, with all that is special in a pattern.
_NAMES = some.lists(some.sampled_from(b"aaabB*?[]!^-\xc3\xa9"), min_size=1, max_size=5)
_QUEUES = some.sampled_from([b"a", b"b", b"c"])
_PATTERNS = some.sampled_from([b"a", b"b", b"c", b"*", b"[ab]", b"?"])
#: How a value of each key is made up.
_VALUES: dict[str, some.SearchStrategy[Any]] = {
    "max_items": some.integers(0, 3),
    "dead_letter": some.none() | _QUEUES,
    "expired_to": some.none() | _QUEUES,
    "fanout": some.lists(_QUEUES, max_size=3).map(tuple),
    "fanout_only": some.booleans(),
    "paused": some.integers(0, 3),
}
_KEYS = some.fixed_dictionaries({}, optional=_VALUES)


def tables(
    names: some.SearchStrategy[bytes],
) -> some.SearchStrategy[list[Table]]:
    """Return what makes tables up, each name once, as TOML has it."""
    one = some.builds(Table, names, _KEYS)
    return some.lists(one, max_size=6, unique_by=lambda table: table.name)


def made(tables: list[Table], queue: bytes) -> dict[str, Any]:
    """Return what holds for a queue, found the long way."""
    found: dict[str, Any] = {}
    for table in tables:
        if fnmatchcase(queue, table.name):
            found |= {FIELDS[key]: table.values[key] for key in table.values}
    found["fanoutOnly"] = bool(found.get("fanoutOnly") and found.get("fanout"))
    return found


def destinations(tables: list[Table], queue: bytes, before: set[bytes]) -> list[bytes]:
    """Return where a set to a queue goes in the end, found the long way."""
    rule = Rule(**made(tables, queue))
    found = [] if rule.fanoutOnly else [queue]
    new = [each for each in rule.fanout if each not in before]
    for each in dict.fromkeys(new):
        found += destinations(tables, each, before | {each})
    return found


def isCircle(tables: list[Table], field: str, queue: bytes) -> bool:
    """Tell whether a queue hands on to itself, found the long way."""
    destinations: set[bytes] = set()
    todo = [queue]
    while todo:
        value = getattr(Rule(**made(tables, todo.pop())), field)
        new = {*(value if isinstance(value, tuple) else [value])} - {
            None,
            *destinations,
        }
        destinations |= new
        todo += new
    return queue in destinations


def table(name: bytes, **values: Any) -> Table:
    """Return a table."""
    return Table(name, values)


class ManyTests(SynchronousTestCase):
    """Thousands of tables."""

    def setUp(self) -> None:
        """Count how often a name is held against a pattern."""
        self.tried = 0
        matches = Pattern.matches

        def counted(pattern: Pattern, name: bytes) -> bool:
            self.tried += 1
            return matches(pattern, name)

        self.patch(Pattern, "matches", counted)

    def test_linear(self) -> None:
        """To check them takes as many tries as there are tables, not their square."""
        many = [table(b"*", max_items=1)]
        for number in range(1000):
            dead, values = b"dead%d" % number, {"overflow": True}
            many.append(table(b"team%d.*" % number, dead_letter=dead, **values))
            many.append(table(b"queue%d" % number, fanout=(dead,), fanout_only=True))
        Rules(many).check()
        # For each key that may lead in a circle, those of each name that there is.
        self.assertLess(self.tried, 20 * len(many))

    def test_planned(self) -> None:
        """To find a queue's rule takes as few tries as among few, and then none."""
        found = []
        for count in (10, 10_000):
            half = range(count // 2)
            made = Rules(
                [
                    *(table(b"team%d.*" % number, max_items=number) for number in half),
                    *(table(b"queue%d" % number, max_items=number) for number in half),
                ]
            )
            self.tried = 0
            found.append((made.of(b"team3.a"), made.of(b"queue3"), self.tried))
            self.assertLess(self.tried, 3)
            made.of(b"team3.a")
            self.assertEqual(self.tried, found[-1][-1])
        self.assertEqual(found[0], found[1])
        self.assertEqual(found[1][:2], (Rule(maxItems=3),) * 2)


class OfTests(SynchronousTestCase):
    """Which queue has which rule."""

    def of(self, queue: bytes, *tables: Table) -> Rule | None:
        """Return the rule of a queue."""
        return Rules(tables).of(queue)

    def test_none(self) -> None:
        """Without a table that says something a queue has no rule."""
        self.assertIsNone(self.of(b"q"))
        self.assertIsNone(self.of(b"q", table(b"p", max_items=1)))
        self.assertIsNone(self.of(b"q", table(b"q"), table(b"*", max_items=0)))
        self.assertTrue(Rules().isEmpty)
        self.assertFalse(Rules([table(b"p")]).isEmpty)

    def test_patterns(self) -> None:
        """A pattern matches as in a shell, byte by byte."""
        for name, matching, others in (
            (b"q", [b"q"], [b"Q", b"qq", b"q\n"]),
            (b"a*", [b"a", b"a.b", b"a\xff"], [b"A", b"ba"]),
            (b"a?", [b"ab", b"a\xc3"], [b"a", b"a\xc3\xa9"]),
            ("é".encode(), ["é".encode()], ["É".encode()]),
            (b"[a-c]x", [b"ax", b"cx"], [b"dx", b"x", b"Ax"]),
            (b"[!a]", [b"b", b"!"], [b"a", b""]),
            (b"[*]", [b"*"], [b"a"]),
            (b"a[", [b"a["], [b"a"]),
            (b"a.c", [b"a.c"], [b"abc"]),
            (b"[b-a]", [], [b"a", b"b", b"-"]),
        ):
            rules = Rules([table(name, max_items=1)])
            for queue in matching:
                self.assertEqual(rules.of(queue), Rule(maxItems=1), (name, queue))
            for queue in others:
                self.assertIsNone(rules.of(queue), (name, queue))

    def test_lastOfEachKey(self) -> None:
        """Of all that match, the last one that has a key decides on that key."""
        general = table(b"*", max_items=9, paused=READS, dead_letter=b"d")
        special = table(b"q", max_items=5, dead_letter=None)
        self.assertEqual(
            self.of(b"q", general, special), Rule(maxItems=5, paused=READS)
        )
        self.assertEqual(
            self.of(b"q", special, general),
            Rule(maxItems=9, paused=READS, deadLetter=b"d"),
        )

    @given(tables(_NAMES.map(bytes)), some.lists(_NAMES.map(bytes), max_size=9))
    def test_anyTables(self, tables: list[Table], queues: list[bytes]) -> None:
        """It is what comes out when every table is asked in turn."""
        rules = Rules(tables)
        for queue in [*queues, *queues, *(table.name for table in tables)]:
            rule = Rule(**made(tables, queue))
            found = rules.of(queue) or Rule()
            self.assertEqual(found._replace(reaches=()), rule)
            self.assertTrue(rule.fanout or not found.reaches)

    def test_bounded(self) -> None:
        """However many names are asked for, few are kept."""
        self.patch(rules, "KNOWN", 3)
        made = Rules([table(b"q*", max_items=1)])
        for number in [*range(9), 0]:
            rule = made.of(b"q%d" % number)
            self.assertEqual(rule, Rule(maxItems=1))
            self.assertIs(made.of(b"q%d" % number), rule)
            self.assertLessEqual(len(made.known), 3)


class OnlineTests(SynchronousTestCase):
    """Tables of both kinds."""

    def test_deciding(self) -> None:
        """Of each key it is known which table decides, and where it stands."""
        first = Table(b"*", {"max_items": 1, "max_age": 2}, "/f", (2, 7))
        online = [Table(b"q", {"max_age": 3}, "/o", (9,)), table(b"*", paused=1)]
        found = Rules([first, table(b"r", max_items=2)], online).deciding(b"q")
        self.assertEqual(
            {key: each.place(key) for key, each in found.items()},
            {"max_items": "/f:2", "max_age": "/o:9", "paused": NOWHERE},
        )
        self.assertEqual(online[1].line("paused"), None)

    def test_sameName(self) -> None:
        """A queue may have a table of its own of either kind."""
        rules = Rules([table(b"q", max_items=1, max_age=1)], [table(b"q", max_items=2)])
        self.assertEqual(rules.of(b"q"), Rule(maxItems=2, maxAgeMs=1))

    def test_locked(self) -> None:
        """What is locked is as the tables of the file say; these may differ."""
        locked = Table(b"q*", {"max_items": 1, "max_age": 1}, locked=True)
        further = table(b"qq", max_items=2)
        online = table(b"*", max_items=3, max_open=3)
        rules = Rules([locked, further], [online])
        for queue, most in ((b"q", 1), (b"qq", 2)):
            self.assertEqual(
                rules.of(queue), Rule(maxItems=most, maxAgeMs=1, maxOpen=3)
            )
        self.assertEqual(rules.of(b"r"), Rule(maxItems=3, maxOpen=3))
        self.assertEqual(rules.lock(b"*", "max_items"), locked)
        for name, key in ((b"*", "max_open"), (b"r*", "max_items")):
            self.assertIsNone(rules.lock(name, key))

    def test_check(self) -> None:
        """What those of one kind lack, those of the other may have."""
        Rules([table(b"*", max_items=1)], [table(b"q", overflow=True)]).check()
        self.assertRaises(RuleError, Rules([], [table(b"q", overflow=True)]).check)


class FanoutTests(SynchronousTestCase):
    """Where a set goes in the end."""

    def reaches(self, *tables: Table) -> tuple[bytes, ...]:
        """Return where a set to q goes."""
        rules = Rules(tables)
        rules.check()
        rule = rules.of(b"q")
        assert rule is not None
        return rule.reaches

    def test_oneLevel(self) -> None:
        """It goes to the queue and to those of its fanout, each once, in order."""
        fanout = (b"b", b"a", b"b")
        self.assertEqual(self.reaches(table(b"q", fanout=fanout)), (b"q", b"b", b"a"))
        found = self.reaches(table(b"q", fanout=fanout, fanout_only=True))
        self.assertEqual(found, (b"b", b"a"))

    def test_further(self) -> None:
        """It goes on by the rules of those, and still once to each."""
        found = self.reaches(
            table(b"q", fanout=(b"a", b"b")),
            table(b"a*", fanout=(b"c", b"b"), fanout_only=True),
            table(b"c", fanout=(b"b", b"d")),
        )
        self.assertEqual(found, (b"q", b"b", b"c", b"d"))

    def test_onlyWithoutAny(self) -> None:
        """A queue whose fanout was taken back keeps its messages."""
        rules = Rules(
            [table(b"*", fanout=(b"a",), fanout_only=True), table(b"?", fanout=())]
        )
        rules.check()
        self.assertIsNone(rules.of(b"q"))
        self.assertEqual(getattr(rules.of(b"qq"), "reaches", None), (b"a",))

    def test_long(self) -> None:
        """A long way round is no matter."""
        chain = [table(b"%d" % n, fanout=(b"%d" % (n + 1),)) for n in range(5000)]
        found = self.reaches(*chain, table(b"q", fanout=(b"0",)))
        self.assertEqual(len(found), 5002)

    @given(tables(_PATTERNS))
    def test_anyTables(self, tables: list[Table]) -> None:
        """It is what comes out when each queue is asked where it hands on to."""
        rules = Rules(tables)
        for queue in (b"a", b"b", b"cc"):
            rule = rules.of(queue) or Rule()
            expected = (
                set(destinations(tables, queue, {queue})) if rule.fanout else set()
            )
            self.assertEqual(set(rule.reaches), expected)
            self.assertEqual(len(rule.reaches), len(expected))


def isWrong(rules: Rules, *changed: set[str]) -> bool:
    """Tell whether rules do not go together."""
    try:
        rules.check(*changed)
    except RuleError:
        return True
    return False


class CheckTests(SynchronousTestCase):
    """Tables that make no sense together are refused."""

    def wrong(self, *tables: Table) -> tuple[bytes, str, str]:
        """Return where the mistake is, and which."""
        error = self.assertRaises(RuleError, Rules(tables).check)
        return error.table.name, error.key, str(error)

    def test_overflow(self) -> None:
        """Overflow is nothing without a limit in a table for the same queue."""
        why = "there is no max_items and no max_bytes for it"
        one, many = table(b"q", overflow=True), table(b"q*", overflow=True)
        for mine, other in (
            (one, table(b"p", max_items=1)),
            (one, table(b"q?", max_bytes=1)),
            (one, table(b"*", max_items=0)),
            (many, table(b"p", max_items=1)),
            (many, table(b"*", max_items=0)),
        ):
            found = self.wrong(mine, other)
            self.assertEqual(found, (mine.name, "overflow", why))
        for mine, other in (
            (one, table(b"*", max_items=1)),
            (one, table(b"?", max_bytes=1)),
            (many, table(b"q", max_bytes=1)),
            (many, table(b"*", max_items=1)),
        ):
            Rules([other, mine]).check()
            Rules([mine, other]).check()
        Rules([table(b"q", overflow=False, max_bytes=1)]).check()

    def test_fanoutOnly(self) -> None:
        """Nor is fanout_only without fanout."""
        why = "there is no fanout for it"
        mine = table(b"q", fanout_only=True)
        for others in ([], [table(b"*", fanout=())], [table(b"p", fanout=(b"a",))]):
            self.assertEqual(self.wrong(*others, mine), (b"q", "fanout_only", why))
        Rules([mine, table(b"q*", fanout=(b"a",))]).check()
        Rules([table(b"q", fanout_only=False)]).check()

    def test_itself(self) -> None:
        """A queue cannot hand on to itself."""
        why = "a queue would hand on to itself: q -> q"
        for key, value in (
            ("fanout", (b"a", b"q")),
            ("dead_letter", b"q"),
            ("expired_to", b"q"),
        ):
            found = self.wrong(table(b"q", **{key: value}))
            self.assertEqual(found, (b"q", key, why))

    def test_pattern(self) -> None:
        """Nor by way of a pattern, unless another table says otherwise."""
        general = table(b"*", dead_letter=b"dead")
        self.assertEqual(
            self.wrong(table(b"dead"), general),
            (
                b"*",
                "dead_letter",
                "a queue would hand on to itself: dead -> dead; "
                "a table further down can say otherwise for one queue",
            ),
        )
        Rules([general, table(b"dead", dead_letter=None)]).check()

    def test_circle(self) -> None:
        """Nor by way of others; the last table that has a part in it is named."""
        found = self.wrong(
            table(b"c", fanout=(b"a",)),
            table(b"a", fanout=(b"x", b"b")),
            table(b"b", fanout=(b"c",)),
            table(b"z", fanout=(b"a",)),
        )
        self.assertEqual(found[:2], (b"b", "fanout"))
        self.assertIn(
            found[2].removeprefix("a queue would hand on to itself: "),
            ("a -> b -> c -> a", "b -> c -> a -> b", "c -> a -> b -> c"),
        )

    def test_longCircle(self) -> None:
        """Of a long circle some queues are named."""
        chain = [table(b"%d" % n, fanout=(b"%d" % ((n + 1) % 99),)) for n in range(99)]
        name, _, why = self.wrong(*chain)
        self.assertEqual(name, b"98")
        self.assertRegex(why, r": (\d+ -> ){6}\.\.\.$")

    @given(tables(_PATTERNS), _PATTERNS, _KEYS)
    def test_changed(
        self, tables: list[Table], name: bytes, values: dict[str, Any]
    ) -> None:
        """Where tables go together, it is enough to look at what has changed."""
        others = [each for each in tables if each.name != name]
        before = [each for each in tables if each.name == name]
        then = Rules([*others, table(name, **values)])
        keys = {*values}.union(*(each.values for each in before))
        if not isWrong(Rules([*others, *before])):
            self.assertEqual(isWrong(then, keys), isWrong(then))

    def test_kinds(self) -> None:
        """A way round by different keys is no circle."""
        Rules([table(b"a", dead_letter=b"b"), table(b"b", expired_to=b"a")]).check()

    @given(tables(_PATTERNS))
    def test_anyTables(self, tables: list[Table]) -> None:
        """A circle that is refused is one, and no other tables have any."""
        # Only circles are looked for.
        tables = [
            table(each.name, **{**each.values, "fanout_only": False}) for each in tables
        ]
        fields = ("fanout", "deadLetter", "expiredTo")
        found = any(
            isCircle(tables, field, queue)
            for field in fields
            for queue in (b"a", b"b", b"c", b"d", b"aa")
        )
        try:
            Rules(tables).check()
        except RuleError:
            self.assertTrue(found)
        else:
            self.assertFalse(found)
