"""Figures: what is told of a queue, and of the server, in the fields of JSON."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

import twisted
from memq import __version__
from memq.config.settings import inForce
from memq.policy.rule import READS, WRITES
from memq.web.api.names import shown
from memq.web.api.rates import UNKNOWN, Rates
from memq.web.metrics.survey import FIELDS, FIGURES, figuresOf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from memq.broker.interfaces import IEngine
    from memq.figures import ClusterState, QueueDetail
    from memq.web.api.snapshot import Snapshot
    from memq.web.health import Readiness
    from memq.web.history.tallies import Tally
    from memq.web.metrics.serverfigures import Sources

#: The figures of a row that are told as they are, in its order.
_PLAIN = FIGURES[:5]
_COUNTERS = FIGURES[6:12]
_PLACES = {name: place for place, name in enumerate(FIGURES)}


#: The figures of a tally that are told as they are.
_TALLIED = ("queues", "messages", "bytes", "open", "delayed", "set", "taken")
#: What tells of all queues together.
_TOGETHER = (*_TALLIED, "in", "out", "waiters", "oldest")


def withoutTotals(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of the server to somebody who does not see all queues.

    From what they have together, what happens in the others could be known.
    """
    return {**told, **dict.fromkeys(_TOGETHER)}


class QueueRows:
    """The rows of queues."""

    def __init__(self, broker: IEngine, source: Callable[[bytes, str], str]) -> None:
        """Take what else is known of queues.

        :param source: returns where the value of a key of a queue is from.
        """
        self._broker = broker
        self._source = source
        lacks = broker.lacks
        self._unknown = {name for name in FIGURES if FIELDS.get(name, name) in lacks}

    def row(
        self,
        detail: QueueDetail,
        incoming: float | None = None,
        outgoing: float | None = None,
    ) -> dict[str, Any]:
        """Return the row of a queue that was just looked at."""
        figures = figuresOf(self._broker, detail)
        return self.tell(detail.name, figures, Rates(incoming, outgoing))

    def tell(
        self, name: bytes, figures: Sequence[int], rates: Rates = UNKNOWN
    ) -> dict[str, Any]:
        """Return the row of a queue; a figure that is not known is None.

        :param figures: as FIGURES names them.
        """
        told: dict[str, Any] = {"name": shown(name)}
        for figure in _PLAIN:
            told[figure] = figures[_PLACES[figure]]
        told["oldest"] = moment(figures[_PLACES["oldest"]])
        for figure in _COUNTERS:
            told[figure] = figures[_PLACES[figure]]
        told["in"], told["out"] = rates
        told["limit"] = figures[_PLACES["limit"]] or None
        told["paused"] = pausedWords(figures[_PLACES["paused"]])
        policies = self._broker.policies
        policy = policies.told(name) if policies.isActive else None
        target = None if policy is None else policy.rule.deadLetter
        told["deadLetter"] = None if target is None else shown(target)
        told.update(dict.fromkeys(self._unknown & told.keys()))
        return told

    def whole(self, detail: QueueDetail, rates: Rates = UNKNOWN) -> dict[str, Any]:
        """Return the row of a queue with all that is known of it."""
        name = detail.name
        refused = self._broker.refusals
        told = self.row(detail, *rates)
        isKnown = "lastUsed" not in self._broker.lacks
        told["lastUsed"] = detail.lastUsed if isKnown else None
        told["refused"] = dict(
            zip((each.value for each in refused.sums), refused.of(name), strict=True)
        )
        told["rules"] = list(self._rules(name))
        return told

    def _rules(self, name: bytes) -> Iterable[dict[str, str]]:
        """Yield what is in force, by the file or by the store."""
        policy = self._broker.policies.told(name)
        if policy is None:
            return
        rule = policy.rule
        own = {
            "max_items": "add" if policy.maxItems != rule.maxItems else "",
            "paused": "pause" if policy.paused != rule.paused else "",
        }
        both = rule._replace(maxItems=policy.maxItems, paused=policy.paused)
        for key, value in inForce(both):
            source = own.get(key) or self._source(name, key)
            yield {"key": key, "value": value, "from": source}


def moment(milliseconds: int) -> float | None:
    """Return a time in seconds; None for none."""
    return milliseconds / 1000 if milliseconds else None


def pausedWords(bits: int) -> list[str]:
    """Return what is paused."""
    return [word for word, bit in (("reads", READS), ("writes", WRITES)) if bits & bit]


class ServerFigures:
    """The figures of the server."""

    def __init__(
        self,
        sources: Sources,
        readiness: Readiness,
        mayAct: Callable[[], bool],
        bodies: bool,
    ) -> None:
        """Take where they are from.

        :param mayAct: returns whether things can be changed at all.
        :param bodies: whether bodies of messages are told.
        """
        self._sources = sources
        self._readiness = readiness
        self._mayAct = mayAct
        self._bodies = bodies
        #: When the oldest head of all was set, by the last snapshot.
        self._oldest = 0

    def note(self, snapshot: Snapshot) -> None:
        """Note what only a look at all queues tells."""
        self._oldest = snapshot.picture.oldest

    def server(self, tally: Tally | None) -> dict[str, Any]:
        """Return them.

        :param tally: what all queues have; None while they cannot be looked at.
        """
        sources = self._sources
        broker, statistics = sources.broker, sources.statistics
        budget = broker.budget
        ever = statistics.ever()
        reasons = [each.value for each in broker.refusals.sums]
        if "disk" not in broker.lacks:
            reasons.append("disk_full")
        why = {reason: ever[f"refused_{reason}"] for reason in reasons}
        return {
            "version": __version__,
            "python": platform.python_version(),
            "twisted": twisted.__version__,
            "berkeleydb": sources.berkeleydb,
            "durability": "synced" if broker.durable else "no-sync",
            "started": statistics.startedAt,
            "ready": list(self._readiness.reasons(forWrites=False)),
            "connections": statistics.connections,
            "connectionsLimit": statistics.maxConnections,
            **{name: getattr(tally, name, None) for name in _TALLIED},
            "in": _rounded(getattr(tally, "incoming", None)),
            "out": _rounded(getattr(tally, "outgoing", None)),
            "waiters": broker.readers,
            "oldest": None if tally is None else moment(self._oldest),
            "disk": None if "disk" in broker.lacks else self._disk(),
            "cluster": _cluster(broker.cluster()),
            "refused": sum(why.values()),
            "refusedWhy": why,
            "memory": {"held": budget.held + budget.reserved, "limit": budget.limit},
            "actions": self._mayAct(),
            "bodies": self._bodies,
        }

    def _disk(self) -> dict[str, Any]:
        room = self._sources.broker.room
        return {
            "free": room.free,
            "minFree": room.least,
            "store": self._sources.statistics.bytesOnDisk,
            "full": room.isFull,
        }


def _cluster(state: ClusterState | None) -> dict[str, Any] | None:
    """Return what is told of the servers that keep the queues."""
    if state is None:
        return None
    links: dict[str, dict[str, Any]] = {}
    for each in state.links:
        link = {"purpose": each.purpose, "connected": 0, "missing": 0, "lost": 0}
        told = links.setdefault(each.purpose, link)
        told["missing" if each.node is None else "connected"] += 1
        told["lost"] += each.lost
    return {
        "version": state.version,
        "nodes": state.nodes,
        "running": state.running,
        "blocked": any(each.isBlocked for each in state.links),
        "at": sorted({each.node for each in state.links if each.node is not None}),
        "connections": list(links.values()),
        "unconfirmed": state.unconfirmed,
        "setsFailed": dict(state.failed),
        "getsFailed": state.failedGets,
        "silent": state.silent,
        "toldAt": state.toldAt,
    }


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate, 3)
