"""Start check: clusters that nothing is stored in.

Each refusal is one line, and ends the process with a status upon which no service
manager tries again: a person has to look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.errors import NEEDS_A_PERSON, StartError
from memq.rabbitmq.policies import wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memq.policy.rules import Table
    from memq.rabbitmq.errors import Untold
    from memq.rabbitmq.telling import Facts

#: Nodes that a cluster has at least: with two, the death of either stops it.
LEAST = 3


class ClusterRefused(StartError):
    """A cluster, or what it makes of this server, that no restart makes better."""

    status = NEEDS_A_PERSON


def checkRules(tables: Sequence[Table]) -> None:
    """Refuse rules that no cluster keeps.

    :raise memq.rabbitmq.errors.RuleRefused: with file and line.
    """
    wanted(tables)


def checkFacts(facts: Facts, user: str, acceptMnesia: bool) -> None:
    """Refuse a cluster that can lose what was told as stored.

    :param user: whom this server says it is.
    :raise ClusterRefused: with what to do.
    """
    if facts.nodes < LEAST:
        raise ClusterRefused(
            f"--rabbitmq: the cluster has {facts.nodes} of at least {LEAST} nodes"
        )
    if facts.isParted:
        raise ClusterRefused(
            "--rabbitmq: the cluster is in parts, each of which knows other queues; "
            "restart the nodes of the smaller one"
        )
    if facts.isKhepri is None and not acceptMnesia:
        raise ClusterRefused(
            f"--rabbitmq: user {user} lacks the tag administrator, and so is not told "
            "whether the queue servers have khepri_db; give it, or --accept-mnesia"
        )
    if not (facts.isKhepri or acceptMnesia):
        raise ClusterRefused(
            f"--rabbitmq: RabbitMQ {facts.version} keeps its queues in Mnesia, and can "
            "lose messages when a node stands still; enable khepri_db (RabbitMQ 4), or "
            "give --accept-mnesia"
        )


def checkAnswer(error: Untold, user: str, name: str) -> None:
    """Refuse what will not be better in a while: a node answers, and says no.

    :param user: whom this server says it is.
    :param name: the virtual host.
    :raise ClusterRefused: with what to do.
    """
    if error.code == 401:
        raise ClusterRefused(
            f"--rabbitmq: the queue servers refuse user {user}: its password is wrong, "
            "or it lacks the tag monitoring"
        )
    if error.code == 404:
        raise ClusterRefused(
            f"--rabbitmq: the queue servers have no virtual host {name}; or "
            "--rabbitmq-management leads elsewhere"
        )


def checkLink(isUnfit: bool, trouble: str) -> None:
    """Refuse nodes on which nothing can be kept, for they confirm nothing.

    :param isUnfit: whether that holds for all.
    :param trouble: what the last one lacks.
    :raise ClusterRefused: with that.
    """
    if isUnfit:
        raise ClusterRefused(f"--rabbitmq: no queue server can be used; {trouble}")


def lack(facts: Facts) -> str | None:
    """Return what a cluster lacks for now, in words; None for nothing."""
    if facts.running * 2 > facts.nodes:
        return None
    return f"{facts.running} of {facts.nodes} queue servers run"
