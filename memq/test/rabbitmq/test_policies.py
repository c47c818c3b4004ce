"""Rules as policies, and what is refused."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from memq.config.file import readConfig
from memq.policy.rules import Rules, Table
from memq.rabbitmq import policies
from memq.rabbitmq.errors import RuleRefused
from memq.rabbitmq.names import encode
from memq.rabbitmq.policies import NOTHING, Policy, Wanted, check, targets, wanted

if TYPE_CHECKING:
    from memq.policy.rule import Rule

#: Keys that a cluster keeps whatever the others are.
_KEYS = ("max_items", "max_bytes", "max_age", "max_deliveries")
_NAMES = st.text("ab?*", min_size=1, max_size=4).map(str.encode)


def inForce(found: list[Wanted], queue: bytes) -> dict[str, Any]:
    """Return what RabbitMQ would let hold for a queue."""
    name = encode(queue).queue.encode()
    matching = [
        each.policy
        for each in found
        if re.search(each.policy.pattern.encode(), name) is not None
    ]
    if not matching:
        return {}
    matching.sort(key=lambda each: -each.priority)
    assert len({each.priority for each in matching[:2]}) == len(matching[:2])
    first = matching[0].definition
    return {} if first == NOTHING else dict(first)


def told(rule: Rule | None) -> dict[str, Any]:
    """Return what a rule is in a policy, of those that say _KEYS alone."""
    found: dict[str, Any] = {}
    if rule is None:
        return found
    if rule.maxItems:
        found["max-length"] = rule.maxItems
    if rule.maxBytes:
        found["max-length-bytes"] = rule.maxBytes
    if found:
        found["overflow"] = "reject-publish"
    if rule.maxAgeMs:
        found["message-ttl"] = rule.maxAgeMs
    if rule.maxDeliveries:
        found["delivery-limit"] = rule.maxDeliveries - 1
    return found


class FileCase(SynchronousTestCase):
    """Tables in a file.

    :ivar path: the last one's.
    """

    def tables(self, text: str) -> tuple[Table, ...]:
        """Return the tables of a file."""
        self.path = self.mktemp()
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)
        return readConfig(self.path).queues

    def wanted(self, text: str) -> list[Wanted]:
        """Return the policies of a file."""
        return wanted(self.tables(text))


class PolicyTests(FileCase):
    """The policies that tables want."""

    def refusal(self, text: str) -> str:
        """Return why a file is refused, from the line on."""
        refused = self.assertRaises(RuleRefused, self.wanted, text)
        self.assertEqual(refused.status, 78)
        path, _, why = str(refused).partition(" line ")
        self.assertTrue(path.endswith(self.path))
        return why

    def test_kept(self) -> None:
        """What a cluster keeps is told in its words."""
        (one,) = self.wanted(
            "[queue.'50%']\nmax_items = 5\nmax_bytes = 100\noverflow = 'reject'\n"
            "max_age = 1.5\nmax_deliveries = 3\ndead_letter = 'é%'\n"
            "expired_to = 'é%'\nfanout = ['x']\npaused = 'reads'\nopen_timeout = 2"
        )
        definition = {
            "max-length": 5,
            "max-length-bytes": 100,
            "overflow": "reject-publish",
            "message-ttl": 1500,
            "delivery-limit": 2,
            "dead-letter-exchange": "",
            "dead-letter-routing-key": "é%25",
            "dead-letter-strategy": "at-least-once",
        }
        self.assertEqual(one.policy, Policy("memq 50%", "^50%25$", 1, definition))
        self.assertEqual(targets([one, one]), ["é%".encode()])

    def test_dropped(self) -> None:
        """A queue that drops its oldest messages says so, and names no other queue."""
        (one,) = self.wanted("[queue.q]\nmax_items = 5\noverflow = 'drop-oldest'\n")
        definition = {"max-length": 5, "overflow": "drop-head"}
        self.assertEqual(one.policy.definition, definition)
        self.assertEqual(targets([one]), [])

    def test_reasons(self) -> None:
        """A queue for what dies counts only where something can die of its reason."""
        for text, key in (
            ("max_age = 1\nexpired_to = 'x'\ndead_letter = 'y'", "x"),
            ("honor_exptime = true\nexpired_to = 'x'\ndead_letter = 'y'", "x"),
            ("max_deliveries = 1\nexpired_to = 'y'\ndead_letter = 'x'", "x"),
        ):
            (one,) = self.wanted(f"[queue.q]\n{text}\n")
            self.assertEqual(one.policy.definition["dead-letter-routing-key"], key)
            self.assertEqual(one.policy.definition["overflow"], "reject-publish")
        self.assertEqual(self.wanted("[queue.q]\nexpired_to = 'x'\n"), [])

    def test_elsewhere(self) -> None:
        """A rule that the server keeps itself makes no policy."""
        self.assertEqual(
            self.wanted("[queue.q]\nopen_timeout = 5\n[queue.p]\nhonor_exptime = true"),
            [],
        )

    def test_combined(self) -> None:
        """What several tables say of a queue is in one policy, before those of few."""
        found = self.wanted(
            "[queue.'*']\nmax_items = 9\n[queue.'jobs.*']\nmax_bytes = 5\n"
            "[queue.'*.eu']\nmax_items = 7\n[queue.'jobs.eu']\nmax_age = 1\n"
            "[queue.'mail']\nmax_items = 0\n[queue.plain]\nmax_deliveries = 2"
        )
        self.assertEqual(
            [(each.policy.priority, *each.policy[:2]) for each in found],
            [
                (1, "memq *", r"^(?!amq\.)[^/]*$"),
                (2, "memq *.eu", r"^(?!amq\.)[^/]*\.eu$"),
                (2, "memq jobs.*", r"^jobs\.[^/]*$"),
                (2, "memq mail", "^mail$"),
                (2, "memq plain", "^plain$"),
                (
                    3,
                    "memq jobs.* & *.eu",
                    r"^(?=jobs\.[^/]*$)(?!amq\.)[^/]*\.eu$",
                ),
                (4, "memq jobs.eu", r"^jobs\.eu$"),
            ],
        )
        self.assertEqual(inForce(found, b"mail"), {})
        self.assertEqual(inForce(found, b"jobs.x.eu")["max-length"], 7)

    @settings(max_examples=100)
    @given(
        st.lists(
            st.tuples(
                _NAMES,
                st.dictionaries(st.sampled_from(_KEYS), st.integers(0, 3), min_size=1),
            ),
            max_size=5,
            unique_by=lambda each: each[0],
        ),
        st.lists(st.text("abc", min_size=1, max_size=5).map(str.encode), min_size=1),
    )
    def test_same(
        self, said: list[tuple[bytes, dict[str, Any]]], queues: list[bytes]
    ) -> None:
        """What holds for a queue on a cluster is what its rule says."""
        tables = [Table(name, values, "f", range(len(values))) for name, values in said]
        rules, found = Rules(tables), wanted(tables)
        for queue in queues:
            self.assertEqual(inForce(found, queue), told(rules.of(queue)))

    def test_refused(self) -> None:
        """What a cluster cannot keep is refused, with its file and line."""
        for text, why in (
            (
                "[queue.'*']\nmax_items = 1\n\nremove_when_idle = 5",
                '4: remove_when_idle = 5.0 of "*": queue servers would remove a queue '
                "with messages, too",
            ),
            (
                "[queue.q]\nmax_deliveries = 1\ndead_letter = 'x'\nmax_age = 3",
                '3: dead_letter = "x" of q: queue servers take messages that expire '
                "and those that were given back too often to one queue: dead_letter "
                "and expired_to have to be the same",
            ),
            (
                "[queue.q]\nmax_deliveries = 1\nhonor_exptime = true\n"
                "dead_letter = 'x'\nexpired_to = 'y'",
                '5: expired_to = "y" of q: queue servers take messages that expire '
                "and those that were given back too often to one queue: dead_letter "
                "and expired_to have to be the same",
            ),
            (
                "[queue.q]\nmax_items = 1\noverflow = 'drop-oldest'\nmax_age = 1\n"
                "expired_to = 'x'",
                '3: overflow = "drop-oldest" of q: queue servers would take what is '
                "dropped to the queue of dead_letter or expired_to, too",
            ),
            (
                "[queue.a]\nmax_deliveries = 1\ndead_letter = 'b'\n"
                "[queue.b]\nmax_age = 1\nexpired_to = 'a'",
                '6: expired_to = "a" of b: queue servers let no message go in a '
                "circle: a -> b -> a",
            ),
        ):
            self.assertEqual(self.refusal(text), why)

    def test_unset(self) -> None:
        """What a table further down unsets is not refused."""
        text = "[queue.'*']\nremove_when_idle = 5\n[queue.'**']\nremove_when_idle = 0"
        self.assertEqual(self.wanted(text), [])
        text = "[queue.q]\nmax_age = 1\nexpired_to = 'x'\n[queue.x]\nmax_items = 1"
        self.assertEqual(len(self.wanted(text)), 2)

    def test_many(self) -> None:
        """More policies than RabbitMQ should try are refused."""
        self.patch(policies, "MOST", 3)
        words = "the rules of all queues need more than 3 policies of the queue servers"
        few = "".join(f"[queue.q{each}]\nmax_age = 1\n" for each in range(3))
        self.assertEqual(len(self.wanted(few)), 3)
        self.assertEqual(self.refusal(few + "[queue.r]\nmax_age = 1"), f"8: {words}")
        few = "".join(f"[queue.'q{each}*']\nmax_age = 1\n" for each in range(4))
        self.assertEqual(self.refusal(few), f"8: {words}")
        joint = "[queue.'a*']\nmax_age = 1\n[queue.'*b']\nmax_age = 1\n"
        self.assertEqual(len(self.wanted(joint)), 3)
        self.assertRegex(
            self.refusal(joint + "[queue.'*c*']\nmax_age = 1"), f"^[246]: {words}$"
        )
        self.assertRegex(
            self.refusal(joint + "[queue.'c']\nmax_age = 1"), f"^[246]: {words}$"
        )

    def test_command(self) -> None:
        """A line for a shell sets a policy, whatever is in a name."""
        (one,) = self.wanted('[queue."it\'s$(x)"]\nmax_items = 5\n')
        words = shlex.split(one.policy.command("v h"))
        self.assertEqual(
            words[:-1],
            [
                *("rabbitmqctl", "set_policy", "-p", "v h", "--priority", "1"),
                *("--apply-to", "queues", "memq it's$(x)", r"^it's\$\(x\)$"),
            ],
        )
        self.assertEqual(json.loads(words[-1]), one.policy.definition)
        self.assertNotIn("-p", shlex.split(one.policy.command(None)))


class CheckTests(FileCase):
    """Policies that a cluster tells."""

    def setUp(self) -> None:
        """Want one."""
        text = "[queue.'*']\nopen_timeout = 3\nmax_items = 5\n"
        self.found = self.wanted(text)
        (self.one,) = [each.policy for each in self.found]

    def why(self, told: list[Policy], operators: list[Policy] | None = None) -> str:
        """Return why these are refused."""
        refused = self.assertRaises(
            RuleRefused, check, self.found, told, operators or []
        )
        return str(refused).partition(" line ")[2] or str(refused)

    def test_inForce(self) -> None:
        """What is in force is fine, and so are policies that take nothing away."""
        fine = {"queue-leader-locator": "balanced"}
        check(self.found, [self.one], [Policy("o", "", 9, fine)])
        check(self.found, [self.one, Policy("x", "", 0, fine)], [])
        check(
            self.found, [self.one, Policy("x", "", 9, {"expires": 1}, "exchanges")], []
        )
        check([], [Policy("x", "", 9, fine)], [])
        asTold = {
            "vhost": "v",
            "name": "memq *",
            "pattern": r"^(?!amq\.)[^/]*$",
            "apply-to": "queues",
            "definition": {"max-length": 5, "overflow": "reject-publish"},
            "priority": 1,
        }
        check(self.found, [Policy.told(asTold)], [])

    def test_missing(self) -> None:
        """A policy that is not there is refused where its rule stands."""
        self.assertEqual(
            self.why([]),
            "3: max_items = 5 of \"*\": the queue servers have no policy 'memq *'; "
            "`memq rabbitmq-policies` prints what sets it",
        )

    def test_other(self) -> None:
        """So is one that says something else, or of others, or stands behind."""
        for change in (
            {"priority": 2},
            {"pattern": ".*"},
            {"definition": {"max-length": 5}},
            {"appliesTo": "all"},
        ):
            changed: Any = change
            self.assertEqual(
                self.why([self.one._replace(**changed)]),
                "3: max_items = 5 of \"*\": the queue servers' policy 'memq *' is "
                "another one; `memq rabbitmq-policies` prints what sets it",
            )

    def test_besides(self) -> None:
        """One that no rule wants may not say what rules say, nor stand before these."""
        why = (
            "policy 'x' of the queue servers: no rule wants it, and it would decide on "
            "queues (rabbitmqctl clear_policy)"
        )
        fine, wrong = {"queue-leader-locator": "balanced"}, {"overflow": "drop-head"}
        self.assertEqual(self.why([self.one, Policy("x", "", 1, fine, "all")]), why)
        self.assertEqual(self.why([self.one, Policy("x", "", 0, wrong)]), why)
        self.found = []
        self.assertEqual(self.why([Policy("x", "", 0, wrong)]), why)

    def test_operators(self) -> None:
        """An operator policy may not change what rules say."""
        other = Policy("o", "", 0, {"max-length": 3})
        self.assertEqual(
            self.why([self.one], [other]),
            "operator policy 'o' of the queue servers: it changes what the rules of "
            "queues say (rabbitmqctl clear_operator_policy)",
        )
        check(self.found, [self.one], [other._replace(appliesTo="exchanges")])
