"""The rules that hold now, and the file that they are read from again.

Whoever needs a rule asks ``Rulebook.rules`` each time and keeps nothing of it: reading
the file again puts others in its place.  A file with a mistake changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.config import findConfig
from memq.rules import Rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.config import Config


class Rulebook:
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

    def reload(self) -> None:
        """Read the file again, or the one that is at config.DEFAULT by now.

        Options of [server] that differ from those at the start are named in the log
        and change nothing.  A file that was there once must be there still.

        :raise memq.errors.ConfigError: when it cannot be; the rules stay as they are.
        """
        if not self._isRead:
            return
        config = findConfig(self._path)
        if config.path is None:
            return
        self.rules = Rules(config.queues)
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
