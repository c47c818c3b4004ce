"""The rules that hold now, and the file that they are read from again.

``PolicyReloader.rules`` is asked each time that a rule is needed, and not kept: reading
the file again puts others in its place.  A file with a mistake changes nothing.
To read takes long where there are many tables, to let them hold does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from memq.config.file import Config, findConfig
from memq.policy.rules import Rules

if TYPE_CHECKING:
    from collections.abc import Callable


class Reading(NamedTuple):
    """What a file said when it was read again, and the rules that are in it."""

    config: Config
    rules: Rules


class PolicyReloader:
    """The rules as the configuration file has them.

    :ivar rules: those that hold now.
    :ivar onChange: called with the rules each time that they were read again.
    """

    def __init__(
        self, config: Config, say: Callable[[str], None], isRead: bool = True
    ) -> None:
        """Begin with what the file said at the start.

        :param say: called with a line for the log.
        :param isRead: False when no file is to be read at all (--no-config).
        """
        self.rules = Rules(config.queues)
        self.onChange: Callable[[Rules], None] = lambda rules: None
        self._server = config.server
        self._path = config.path
        self._say = say
        self._isRead = isRead

    def read(self) -> Reading | None:
        """Read the file, or the one that is at config.DEFAULT by now; in any thread.

        :return: what :meth:`take` takes; None when there is none to be read.
        :raise memq.errors.ConfigError: when it cannot be.  A file that was there once
            must be there still.
        """
        config = findConfig(self._path) if self._isRead else Config()
        if config.path is None:
            return None
        return Reading(config, Rules(config.queues))

    def take(self, reading: Reading | None) -> None:
        """Let the rules hold that were read.

        Options of [server] that differ from those at the start are named in the log
        and change nothing.
        """
        if reading is None:
            return
        config, self.rules = reading
        self._path = config.path
        self._say(f"{config.path} is read again: {len(config.queues)} [queue] tables")
        names = sorted({*self._server, *config.server})
        changed = [
            name for name in names if self._server.get(name) != config.server.get(name)
        ]
        if changed:
            self._say(
                f"{config.path}: changed in [server], and takes effect when memq is "
                f"started again: {', '.join(changed)}"
            )
        self.onChange(self.rules)
