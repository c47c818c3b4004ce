"""Errors of a cluster, one class a meaning, each with its reply line.

Who is told that nothing is stored may send again; who is told "may be stored or not"
may get it twice if it does.
"""

from __future__ import annotations

from memq.errors import NEEDS_A_PERSON, ConfigError, StoreError


class Unreachable(StoreError):
    """No node took a message within the time that a command may take."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}: nothing is stored")


class Unsure(StoreError):
    """A message was sent, and no majority has confirmed it in time."""

    def __init__(self, why: str = "the queue servers did not answer in time") -> None:
        super().__init__(f"{why}: it may be stored or not")


class TooLarge(StoreError):
    """A message is larger than the nodes take."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"the queue servers take no more than {most} bytes: nothing is stored"
        )


class ClusterFull(StoreError):
    """The nodes take no messages for now."""

    def __init__(self) -> None:
        super().__init__("the queue servers are out of memory or disk space")


class QueueGone(StoreError):
    """A queue that has confirmed messages is unknown to the nodes that were asked.

    It was deleted past this server, or lost; it is not made again in silence.
    """

    def __init__(self) -> None:
        super().__init__("the queue servers do not know the queue any more")


class Disagreed(StoreError):
    """A queue was made on one node, and another one goes on to know nothing of it."""

    def __init__(self) -> None:
        super().__init__(
            "the queue servers disagree about what queues there are: nothing is stored"
        )


class Untold(StoreError):
    """No node tells of the cluster.

    :ivar code: what the last one answered that did, in HTTP; 0 if none did.
    """

    def __init__(self, why: str, code: int = 0) -> None:
        super().__init__(f"no queue server tells of its queues ({why})")
        self.code = code


class RuleRefused(ConfigError):
    """A rule that the cluster cannot keep, or has not in force."""

    status = NEEDS_A_PERSON
