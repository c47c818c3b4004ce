"""Choice: which backing the options ask for."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from twisted.python.util import runAsEffectiveUser

from memq.backing.local import LocalBacking
from memq.errors import NEEDS_A_PERSON, StartError

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.backing.ways import Backing, Ground
    from memq.config.commandline import Options


class PikaMissing(StartError):
    """A package that a cluster needs is not installed: no restart makes that better."""

    status = NEEDS_A_PERSON

    def __init__(self) -> None:
        super().__init__(
            "--store rabbitmq: needs pika: "
            "apt install python3-pika, or pip install memq[cluster]"
        )


def chooseBacking(
    options: Options, owner: tuple[int, int]
) -> Callable[[Ground], Backing]:
    """Return what makes the backing that options ask for.

    :param owner: uid and gid of the server.
    :raise memq.errors.StartError: when it cannot be; nothing is held.
    """
    if options["store"] != "rabbitmq":
        return lambda ground: LocalBacking(ground)
    access, cluster = _load("access"), _load("cluster")
    _load("startcheck").checkRules(options.config.queues)
    read = runAsEffectiveUser(*owner, access.ClusterAccess, options)
    return partial(cluster.ClusterBacking, read)


def _load(name: str) -> Any:
    """Return a module that needs pika, which most servers do not have."""
    try:
        return import_module(f"memq.backing.{name}")
    except ModuleNotFoundError as error:
        if error.name != "pika":
            raise
        raise PikaMissing from None
