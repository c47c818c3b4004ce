"""In force: what holds for a queue on a front end: rules, as far as they are kept here.

The cluster's policies keep the rest of them, and the cluster itself pauses.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from memq.policy.effective import PLAIN, EffectivePolicy, Policies

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.policy.rule import Rule


@lru_cache(1024)
def _here(rule: Rule) -> Rule:
    """Return what of a rule is kept here: the cluster's policies keep the rest."""
    return rule._replace(
        maxItems=0,
        maxBytes=0,
        dropOldest=False,
        maxAgeMs=0,
        maxDeliveries=0,
        deadLetter=None,
        expiredTo=None,
        idleSeconds=0.0,
    )


class FrontPolicies(Policies):
    """Policies as far as they are kept by this process, and pauses of the cluster.

    :ivar bits: returns how a queue is paused.
    """

    bits: Callable[[bytes], int]
    #: A queue for which something else holds now, and that.
    _former: tuple[bytes, EffectivePolicy | None] | None = None

    def asOf(
        self,
        queue: bytes,
        policy: EffectivePolicy | None,
        call: Callable[[], object],
    ) -> None:
        """Call something that finds what held for a queue when it was begun."""
        self._former = queue, policy
        try:
            call()
        finally:
            self._former = None

    def of(self, queue: bytes) -> EffectivePolicy | None:
        """Return what holds for a queue."""
        former = self._former
        if former is not None and former[0] == queue:
            return former[1]
        policy, bits = super().of(queue), self.bits(queue)
        if policy is not None:
            paused = policy.paused | bits
            return policy._replace(rule=_here(policy.rule), paused=paused)
        return PLAIN._replace(paused=bits) if bits else None

    def told(self, queue: bytes) -> EffectivePolicy | None:
        """Return what is told to hold for a queue: here, or in the cluster."""
        policy, bits = super().of(queue), self.bits(queue)
        if policy is None:
            return PLAIN._replace(paused=bits) if bits else None
        return policy._replace(paused=policy.paused | bits)
