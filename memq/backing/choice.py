"""Choice: which backing the options ask for, and what else they may say beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.backing.local import LocalBacking

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.backing.ways import Backing, Ground
    from memq.config.commandline import Options


def chooseBacking(
    options: Options, owner: tuple[int, int]
) -> Callable[[Ground], Backing]:
    """Return what makes the backing that options ask for.

    :param owner: uid and gid of the server.
    :raise memq.errors.StartError: when it cannot be; nothing is held.
    """
    return LocalBacking
