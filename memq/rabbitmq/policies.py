"""Policies: what of the rules of queues a cluster keeps, told as RabbitMQ has it.

Of all tables that match a queue, the last one that has a key decides on that key.  Of
all policies that match one, RabbitMQ takes that with the highest priority, and no other
one.  So there is a policy for each combination of tables that can match one queue, with
what these say together, and its priority is how many they are: of all combinations that
match a queue, the one with every table that does is the largest.

Tables with a name are combined with the patterns that match it, patterns with each
other (:mod:`memq.policy.combinations`).

Only what the cluster keeps is told: limits, ages, deliveries and where messages go
then.  The rest of a rule is kept by the server itself.  A rule that neither of them
keeps is refused, and so is one that the cluster does not have in force.

No I/O, no Twisted.
"""

from __future__ import annotations

import json
from shlex import quote
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from memq.config.ruletext import tomlValue
from memq.display import tomlKey
from memq.policy.combinations import TooMany, combinations, narrowest
from memq.policy.patterns import Patterns
from memq.policy.rule import FIELDS, Rule, isPattern
from memq.policy.rules import Rules
from memq.rabbitmq.errors import RuleRefused
from memq.rabbitmq.names import encode, expression, literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from memq.policy.rules import Table

#: Policies at most: RabbitMQ tries each of them for each queue that is declared.
MOST = 500
#: What the names of policies begin with.
PREFIX = "memq "
#: What policies apply to.
QUEUES = "queues"
#: What holds for a queue anyway.  A policy has to say something.
NOTHING = {"delivery-limit": 2**31 - 1}

#: The keys of tables that make a policy.
_MAKE = (
    "max_items",
    "max_bytes",
    "overflow",
    "max_age",
    "max_deliveries",
    "dead_letter",
    "expired_to",
)
#: And those because of which others cannot be kept.
_KEYS = frozenset((*_MAKE, "honor_exptime", "remove_when_idle"))
#: What others may not say of queues in a policy.
_OURS = frozenset(
    (
        "max-length",
        "max-length-bytes",
        "overflow",
        "message-ttl",
        "expires",
        "delivery-limit",
        "dead-letter-exchange",
        "dead-letter-routing-key",
        "dead-letter-strategy",
    )
)
#: The place of a table with a name, as one more than the patterns that match it.
_OWN = -1
#: What is said of a policy that is not there, or is another one.
_SET = "`memq rabbitmq-policies` prints what sets it"


class Policy(NamedTuple):
    """A policy, as RabbitMQ has it.

    :ivar pattern: a regular expression for names.
    :ivar priority: the highest decides.
    :ivar appliesTo: ``queues``, ``exchanges`` and others.
    """

    name: str
    pattern: str
    priority: int
    definition: Mapping[str, Any]
    appliesTo: str = QUEUES

    @classmethod
    def told(cls, told: Any) -> Policy:
        """Return what the management API tells of one."""
        return cls(
            str(told["name"]),
            str(told["pattern"]),
            int(told["priority"]),
            dict(told["definition"]),
            str(told["apply-to"]),
        )

    @property
    def isOfQueues(self) -> bool:
        """Whether it applies to queues at all."""
        return self.appliesTo != "exchanges"

    def command(self, vhost: str | None) -> str:
        """Return the line for a shell that sets it.

        :param vhost: the virtual host; None for RabbitMQ's default.
        """
        words = ["rabbitmqctl", "set_policy"]
        words += [] if vhost is None else ["-p", vhost]
        words += ["--priority", str(self.priority), "--apply-to", self.appliesTo]
        told = json.dumps(self.definition, ensure_ascii=False, separators=(",", ":"))
        return " ".join(map(quote, [*words, self.name, self.pattern, told]))


class Wanted(NamedTuple):
    """A policy that rules want.

    :ivar some: the patterns that are in it, by their places among all.
    :ivar deciding: the table that decides on each key.
    """

    policy: Policy
    some: frozenset[int]
    deciding: Mapping[str, Table]

    @property
    def target(self) -> bytes | None:
        """The queue to which messages go from those that it applies to."""
        return _target(_rule(self.deciding))

    def refuse(self, why: str) -> NoReturn:
        """Say where the rule stands that is not as it should be on the cluster."""
        _refuse(self.deciding, _MAKE, f"{why}; {_SET}")


def wanted(tables: Sequence[Table]) -> list[Wanted]:
    """Return the policies that tables want, the lowest priority first.

    :raise memq.rabbitmq.errors.RuleRefused: when a rule cannot be kept.
    """
    tables = [table for table in tables if not _KEYS.isdisjoint(table.values)]
    rules = Rules(tables)
    patterns = [table for table in tables if isPattern(table.name)]
    names = [table.name for table in patterns]
    try:
        found = [_ofPatterns(some, patterns) for some in combinations(names, MOST)]
    except TooMany as error:
        _refuseMany(patterns[max(error.some)])
    matching = Patterns(enumerate(names)).matching
    for name in (table.name for table in tables if not isPattern(table.name)):
        some = frozenset((*matching(name), _OWN))
        pattern = literal(encode(name).queue)
        found.append(_wanted([name], pattern, some, rules.deciding(name)))
    if len(found) > MOST:
        _refuseMany(tables[-1])
    _checkCircles(found, rules)
    made = [each for each in found if each.policy.definition != NOTHING]
    wide = [each.some for each in made if _OWN not in each.some]
    # Others only have to stand before these.
    made += [
        each
        for each in found
        if each.policy.definition == NOTHING and any(some < each.some for some in wide)
    ]
    return sorted(made, key=lambda each: (each.policy.priority, each.policy.name))


def targets(policies: Iterable[Wanted]) -> list[bytes]:
    """Return the queues to which messages go: they have to be there."""
    return sorted({each.target for each in policies if each.target is not None})


def check(
    policies: Iterable[Wanted], told: Iterable[Policy], operators: Iterable[Policy]
) -> None:
    """See that policies are in force on a cluster, and none besides them.

    :param told: those that the cluster tells.
    :param operators: its operator policies, which hold together with the others.
    :raise memq.rabbitmq.errors.RuleRefused: when they are not.
    """
    others = {each.name: each for each in told}
    for each in policies:
        policy = each.policy
        there = others.pop(policy.name, None)
        if there is None:
            each.refuse(f"the queue servers have no policy {policy.name!r}")
        if there != policy:
            each.refuse(f"the queue servers' policy {policy.name!r} is another one")
    first = min((each.policy.priority for each in policies), default=None)
    for other in others.values():
        isBefore = first is not None and other.priority >= first
        if other.isOfQueues and (isBefore or not _OURS.isdisjoint(other.definition)):
            why = "no rule wants it, and it would decide on queues (rabbitmqctl {})"
            _refuseOther("policy", other, why.format("clear_policy"))
    for other in operators:
        if other.isOfQueues and not _OURS.isdisjoint(other.definition):
            why = "it changes what the rules of queues say (rabbitmqctl {})"
            _refuseOther("operator policy", other, why.format("clear_operator_policy"))


def _ofPatterns(some: frozenset[int], patterns: Sequence[Table]) -> Wanted:
    """Return the policy of queues that all of some patterns match."""
    chosen = [patterns[each] for each in sorted(some)]
    least = narrowest(each.name for each in chosen)
    *others, last = map(expression, least)
    pattern = "".join(f"(?={each}$)" for each in others) + last
    deciding = {key: table for table in chosen for key in table.values}
    return _wanted(least, pattern, some, deciding)


def _wanted(
    names: Sequence[bytes],
    pattern: str,
    some: frozenset[int],
    deciding: Mapping[str, Table],
) -> Wanted:
    """Return the policy of queues that some tables match.

    :raise memq.rabbitmq.errors.RuleRefused: when it cannot be kept.
    """
    name = PREFIX + " & ".join(each.decode() for each in names)
    definition = _definition(deciding) or NOTHING
    return Wanted(Policy(name, f"^{pattern}$", len(some), definition), some, deciding)


def _rule(deciding: Mapping[str, Table]) -> Rule:
    fields: dict[str, Any] = {
        FIELDS[key]: table.values[key] for key, table in deciding.items()
    }
    return Rule(**fields)


def _target(rule: Rule) -> bytes | None:
    """Return the queue to which messages go for one reason or the other."""
    if rule.maxDeliveries and rule.deadLetter is not None:
        return rule.deadLetter
    return rule.expiredTo if rule.maxAgeMs or rule.honorExptime else None


def _definition(deciding: Mapping[str, Table]) -> dict[str, Any]:
    """Return what a policy says."""
    rule = _rule(deciding)
    target = _target(rule)
    _checkKept(deciding, rule, target)
    found: dict[str, Any] = {}
    if rule.maxItems:
        found["max-length"] = rule.maxItems
    if rule.maxBytes:
        found["max-length-bytes"] = rule.maxBytes
    if rule.maxItems or rule.maxBytes or target is not None:
        # Without a word of it a full queue drops its oldest messages.
        found["overflow"] = "drop-head" if rule.dropOldest else "reject-publish"
    if rule.maxAgeMs:
        found["message-ttl"] = rule.maxAgeMs
    if rule.maxDeliveries:
        # How often a message may come back, and not the time that is too often.
        found["delivery-limit"] = rule.maxDeliveries - 1
    if target is not None:
        found["dead-letter-exchange"] = ""
        found["dead-letter-routing-key"] = encode(target).queue
        # Else what dies while the other queue cannot be reached is lost.
        found["dead-letter-strategy"] = "at-least-once"
    return found


def _checkKept(deciding: Mapping[str, Table], rule: Rule, target: bytes | None) -> None:
    """See that a cluster can keep a rule.

    :raise memq.rabbitmq.errors.RuleRefused: when it cannot.
    """
    if rule.idleSeconds:
        why = "queue servers would remove a queue with messages, too"
        _refuse(deciding, ("remove_when_idle",), why)
    expires = rule.maxAgeMs or rule.honorExptime
    if rule.maxDeliveries and expires and rule.deadLetter != rule.expiredTo:
        why = (
            "queue servers take messages that expire and those that were given back "
            "too often to one queue: dead_letter and expired_to have to be the same"
        )
        _refuse(deciding, ("dead_letter", "expired_to"), why)
    if rule.dropOldest and (rule.maxItems or rule.maxBytes) and target is not None:
        why = (
            "queue servers would take what is dropped to the queue of dead_letter or "
            "expired_to, too"
        )
        _refuse(deciding, ("overflow",), why)


def _checkCircles(policies: Iterable[Wanted], rules: Rules) -> None:
    """See that no queue sends messages to itself, by way of others.

    Rules have none of one kind.  RabbitMQ sends no message on that would come back.

    :raise memq.rabbitmq.errors.RuleRefused: when one does.
    """
    for name in targets(policies):
        circle = [name]
        while True:
            deciding = rules.deciding(circle[-1])
            target = _target(_rule(deciding))
            if target is None:
                break
            circle.append(target)
            if target in circle[:-1]:
                told = " -> ".join(tomlKey(each.decode()) for each in circle)
                why = f"queue servers let no message go in a circle: {told}"
                _refuse(deciding, ("dead_letter", "expired_to"), why)


def _refuse(deciding: Mapping[str, Table], keys: Iterable[str], why: str) -> NoReturn:
    """Refuse the key of some that stands last."""
    there = [(deciding[key].line(key) or 0, key) for key in keys if key in deciding]
    _, key = max(there)
    table = deciding[key]
    what = (
        f"{key} = {tomlValue(key, table.values[key])} of {tomlKey(table.name.decode())}"
    )
    raise RuleRefused(table.path, table.line(key), f"{what}: {why}")


def _refuseMany(table: Table) -> NoReturn:
    key = next(iter(table.values))
    why = f"the rules of all queues need more than {MOST} policies of the queue servers"
    raise RuleRefused(table.path, table.line(key), why)


def _refuseOther(what: str, policy: Policy, why: str) -> NoReturn:
    raise RuleRefused(f"{what} {policy.name!r} of the queue servers", None, why)
