"""Proven credentials: those that were found right, so that nothing slow is done again.

A password takes scrypt a fifth of a second, and a page asks several times a second.  So
what was right once is known again by a keyed hash of it.

Why that is safe: only what was right is kept, so nobody learns from it, or fills it,
without a secret.  The key is random, made anew at each start, and never leaves the
process: hashes cannot be made beforehand, and the time of a look-up tells nothing of
what they are of.  Who reads the memory of the process finds them with the key, and
could try passwords quickly; but there the requests have the passwords themselves.  A
hash counts only while the user has the same secrets as when it was made: whoever gets
another password, or is removed, is asked anew with the next request.
"""

from __future__ import annotations

import hmac
import os
from typing import TYPE_CHECKING, NamedTuple

from memq.access.users import encoded

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.access.users import User, Users


class _Entry(NamedTuple):
    """Who was there, until when that counts, and which secrets the user had."""

    user: User
    until: float
    secrets: tuple[object, ...]


class Proven:
    """What was found right.

    :ivar key: of the hashes.
    """

    def __init__(self, seconds: Callable[[], float], most: int, lasting: float) -> None:
        """Begin with nothing.

        :param seconds: returns the time, by a clock that is never set.
        :param most: how many are kept of a user; of more, those noted first go.
        :param lasting: for how many seconds one counts.
        """
        self._seconds = seconds
        self._most = most
        self._lasting = lasting
        self._key = os.urandom(32)
        self._users: Users | None = None
        self._entries: dict[bytes, _Entry] = {}
        #: The hashes of each user, in the order in which they were noted.
        self._hashes: dict[str, dict[bytes, None]] = {}

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._entries)

    def find(self, users: Users, said: bytes) -> User | None:
        """Return who said this and was right.

        :param users: those that there are now.
        """
        self._retain(users)
        entry = self._entries.get(self._hash(said))
        if entry is None or entry.until <= self._seconds():
            return None
        return entry.user

    def note(self, users: Users, user: User, said: bytes) -> None:
        """Note that one of the users has said this, and was right."""
        self._retain(users)
        hashed = self._hash(said)
        own = self._hashes.setdefault(user.name, {})
        # It goes to the end, behind those that go sooner.
        own.pop(hashed, None)
        own[hashed] = None
        until = self._seconds() + self._lasting
        self._entries[hashed] = _Entry(user, until, _secrets(user))
        if len(own) > self._most:
            self._forget(next(iter(own)))

    def forget(self, said: bytes) -> None:
        """Ask anew whoever says this."""
        self._forget(self._hash(said))

    def _forget(self, hashed: bytes) -> None:
        entry = self._entries.pop(hashed, None)
        if entry is not None:
            del self._hashes[entry.user.name][hashed]

    def _hash(self, said: bytes) -> bytes:
        return hmac.digest(self._key, said, "sha256")

    def _retain(self, users: Users) -> None:
        """Keep those whose users have the same secrets, with their new rights."""
        if users is self._users:
            return
        self._users = users
        for hashed, entry in list(self._entries.items()):
            now = users.names.get(encoded(entry.user.name))
            if now is None or _secrets(now) != entry.secrets:
                self._forget(hashed)
            else:
                self._entries[hashed] = entry._replace(user=now)


def _secrets(user: User) -> tuple[object, ...]:
    """Return what a user can prove itself with, to be compared.

    A session may have begun by a certificate.
    """
    hashes = *user.tokens, *user.words
    digests = tuple(each.digest for each in hashes)
    return digests, str(user.password), user.certificates
