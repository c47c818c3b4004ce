"""Sources: the files that users stand in, read at the start and again at a reload.

They are [user.NAME] tables of the configuration file and of the file of users, and
memcached's file.  All are taken, or none.  A file that was there and is gone is a
mistake, and so is a reload after which there would be no user at all: a server that
asks who clients are does not begin to let in everybody while it runs.  Nor does it at
a start where there is a file for users and none is in it: a file that was emptied by
mistake, or not written whole, opens nothing.

Invariant: what others can read is refused, if it has a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.access.authfile import readAuthFile
from memq.access.secrets import checkPrivate
from memq.access.users import Users, readUsers, together
from memq.config.toml import TOMLFile
from memq.display import tomlKey
from memq.errors import ConfigError

if TYPE_CHECKING:
    from memq.access.users import User
    from memq.config.file import Config, UserTables

#: Keys of a user that are secrets, or what a secret can be guessed by.
_SECRETS = ("token", "password")


class UserSources:
    """The files, and what is known of them."""

    def __init__(
        self, path: str, isNamed: bool = False, authFile: str | None = None
    ) -> None:
        """Name the files.

        :param path: the file of users; an empty one for none.
        :param isNamed: whether it has to be there.
        :param authFile: memcached's file; None for none.
        """
        self._path = path
        self._authFile = authFile
        self._isThere = isNamed
        #: Whether it was there when it was read last.
        self._isFound = False

    @property
    def paths(self) -> list[str]:
        """Return the files that are read, but for the configuration file."""
        return [path for path in (self._path, self._authFile) if path]

    def read(self, config: Config, hadUsers: bool = False) -> Users:
        """Return all users; one thread at a time does that.

        :param config: what the configuration file says.
        :param hadUsers: whether there are some by now, so that there have to be some.
        :raise memq.errors.ConfigError: when they cannot be taken.
        """
        users = together(
            () if config.users is None else _ofConfig(config.users),
            self._ofFile(),
            () if self._authFile is None else readAuthFile(self._authFile),
        )
        if not users.names:
            self._refuseNone(hadUsers)
        return users

    def _refuseNone(self, hadUsers: bool) -> None:
        """Raise ConfigError if there have to be users."""
        if hadUsers:
            why = "there would be no users, and everybody could do everything"
            raise ConfigError("reload", None, f"{why}; restart memq for that")
        empty = self._authFile or (self._path if self._isFound else "")
        if empty:
            why = "has no users, and everybody could do everything"
            raise ConfigError(empty, None, f"{why}; do without the file for that")

    def _ofFile(self) -> tuple[User, ...]:
        self._isFound = False
        if not self._path:
            return ()
        try:
            file = TOMLFile.read(self._path)
        except ConfigError as error:
            if not self._isThere and isinstance(error.__context__, FileNotFoundError):
                return ()
            raise
        self._isThere = self._isFound = True
        checkPrivate(file.path, file.mode)
        tables = file.parse()
        for name, value in tables.items():
            if name != "user":
                # It may be a secret in a wrong place.
                isTable, key = type(value) is dict, tomlKey(name)
                what = f"[{key}]" if isTable else f"{key} = ..."
                why = "is not known here; there are [user.NAME] tables only"
                file.refuse(what, why, name)
        return readUsers(file, tables.get("user", {}))


def _ofConfig(tables: UserTables) -> tuple[User, ...]:
    """Return the users of the configuration file, which others may mostly read."""
    users = readUsers(*tables)
    said = {key for table in tables.tables.values() for key in table}
    if not said.isdisjoint(_SECRETS):
        checkPrivate(tables.file.path, tables.file.mode)
    return users
