"""Users: what [user.NAME] tables say, and whom a client can turn out to be.

    [user.shop]
    unix = ["www-data"]               # names or numbers, for the peer of a UNIX socket
    certificate = ["CN=shop-1", "DNS:shop.internal"]
    token = "sha256:..."              # or several; or password, or password-file
    write = ["orders.*"]
    read = ["mails"]
    manage = []
    role = "monitor"

The tables are taken as a whole or not at all.  A mistake is one line, with the file's
line (memq.config), and without anything that is a secret.
"""

from __future__ import annotations

import os
import pwd
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.access.rights import ROLES, Rights
from memq.access.secrets import LONGEST, PasswordHash, TokenHash, readPrivate
from memq.config.toml import shown
from memq.config.values import tableName
from memq.display import tomlKey
from memq.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from memq.config.toml import TOMLFile

#: A name: without what a way to say it, a line or TOML has other uses for.
isUserName = re.compile(r"[!#-&(-9;-\[\]-~]{1,64}").fullmatch
#: Names of a certificate: the one of its subject, or another one.
_isSubject = re.compile(r"(CN=|DNS:)[!-~](?:[ -~]{0,252}[!-~])?").fullmatch
_UIDS = 1 << 32
#: What Linux says for every uid that a container or a unit has no number for.
_OVERFLOW = 65534
#: Hashes of tokens that a user has at most: a new one and an old one, and some more.
_TOKENS = 8


def encoded(name: str) -> bytes:
    """Return the name of a user as a client says it."""
    return name.encode("utf-8", "surrogateescape")


class User(NamedTuple):
    """Somebody who can turn out to be there.

    :ivar tokens: the hashes of tokens, of which any will do, also without the name.
    :ivar words: the hashes of passwords that need no slow hash; any will do, with the
        name: two users may have the same.
    :ivar password: the hash of the one that takes long to compare; None for none.
    :ivar unix: uids of processes that are this user.
    :ivar certificates: names in certificates that are this user's.
    """

    name: str
    rights: Rights
    tokens: tuple[TokenHash, ...] = ()
    words: tuple[TokenHash, ...] = ()
    password: PasswordHash | None = None
    unix: frozenset[int] = frozenset()
    certificates: frozenset[str] = frozenset()

    def owned(self) -> Iterator[tuple[str, int | str | bytes]]:
        """Yield the keys and the values that no other user may have."""
        yield from (("unix", uid) for uid in sorted(self.unix))
        yield from (("certificate", name) for name in sorted(self.certificates))
        yield from (("token", token.digest) for token in self.tokens)

    def proofs(self) -> Iterator[TokenHash | PasswordHash]:
        """Yield the hashes of all that proves that somebody is this user."""
        yield from (*self.tokens, *self.words)
        if self.password is not None:
            yield self.password

    def proofOf(self, sent: bytes) -> TokenHash | PasswordHash | None:
        """Return the hash of what was sent, which was right.

        :return: None if the user has no such any more.
        """
        hashes = *self.tokens, *self.words
        found = [each for each in hashes if each.matches(sent)]
        return found[0] if found else self.password

    def hasSecret(self, sent: bytes) -> bool:
        """Return whether a token or a word was sent; all are compared."""
        hashes = *self.tokens, *self.words
        return sum(each.matches(sent) for each in hashes) > 0


class Users:
    """All users, who do not change.

    :ivar names: users by name.
    :ivar hasPasswords: whether somebody has a password.
    """

    def __init__(self, users: Iterable[User] = ()) -> None:
        """Take them: no two have the same uid, name of a certificate, or token."""
        self.names = {encoded(user.name): user for user in users}
        everybody = self.names.values()
        self.hasPasswords = any(user.password is not None for user in everybody)
        self._uids = {uid: user for user in everybody for uid in user.unix}
        self._subjects = {
            name: user for user in everybody for name in user.certificates
        }
        self._digests = {
            token.digest: (token, user) for user in everybody for token in user.tokens
        }

    def ofUid(self, uid: int) -> User | None:
        """Return who a process with a uid is."""
        return self._uids.get(uid)

    def ofCertificate(self, names: Iterable[str]) -> User | None:
        """Return whose certificate has these names, ``CN=...`` and ``DNS:...``.

        :return: None if it is nobody's, or that of two users.
        """
        found = {each: self._subjects[each] for each in names if each in self._subjects}
        owners = {user.name: user for user in found.values()}
        return next(iter(owners.values())) if len(owners) == 1 else None

    def ofToken(self, sent: bytes) -> User | None:
        """Return whose token was sent, where only that is sent."""
        digest = TokenHash.of(sent).digest
        token, user = self._digests.get(digest, (None, None))
        return user if token is not None and token.matches(sent) else None


def together(*groups: Iterable[User]) -> Users:
    """Return users that stand in several files.

    :raise memq.errors.ConfigError: when one stands in two, or two have the same.
    """
    users: dict[str, User] = {}
    owners: dict[int | str | bytes, str] = {}
    for user in (user for group in groups for user in group):
        if user.name in users:
            raise ConfigError(f"user {user.name}", None, "stands in two files")
        users[user.name] = user
        for _, what in user.owned():
            other = owners.setdefault(what, user.name)
            if other != user.name:
                why = f"{_called(what)} is that of user {other}, too"
                raise ConfigError(f"user {user.name}", None, why)
    return Users(users.values())


def _called(what: int | str | bytes) -> str:
    if isinstance(what, bytes):
        return "a token"
    return f"uid {what}" if isinstance(what, int) else what


def readUsers(file: TOMLFile, tables: Any) -> tuple[User, ...]:
    """Return the users of a file.

    :param tables: what TOML has made of its ``user``.
    :raise memq.errors.ConfigError: when one is not as it should be.
    """
    if not isinstance(tables, dict):
        file.refuse(f"user = {shown(tables)}", "must be tables, [user.NAME]", "user")
    users = []
    owners: dict[int | str | bytes, str] = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            why = "must stand below [user.NAME]"
            file.refuse(f"{tomlKey(name)} = ...", why, "user", name)
        if not isUserName(name):
            why = "must be 1 to 64 letters of ASCII, but no blank, quote, : or \\"
            file.refuse(f"[user.{tomlKey(name)}]", why, "user", name)
        user = _user(file, name, table)
        for key, what in user.owned():
            other = owners.setdefault(what, name)
            if other != name:
                why = f"{_called(what)} is that of [user.{tomlKey(other)}]"
                file.refuse(f"{key} = ...", why, "user", name, key)
        users.append(user)
    return tuple(users)


def _user(file: TOMLFile, name: str, table: Mapping[str, Any]) -> User:
    values: dict[str, Any] = {}
    for key, value in table.items():
        try:
            if key not in KEYS:
                raise ValueError(f"is no key; {_nearest(key)}")
            values[key] = KEYS[key](file, value)
        except ValueError as error:
            # What may be a secret is shown to nobody.
            what = shown(value) if key in ("role", *_LISTS) else "..."
            file.refuse(f"{tomlKey(key)} = {what}", str(error), "user", name, key)
    if "password" in values and "password-file" in values:
        why = "does not go with password"
        file.refuse("password-file = ...", why, "user", name, "password-file")
    words: tuple[TokenHash, ...] = ()
    password = values.get("password", values.get("password-file"))
    if isinstance(password, TokenHash):
        words, password = (password,), None
    write, read, manage = (values.get(key, ()) for key in ("write", "read", "manage"))
    rights = Rights(write, read, manage, values.get("role", 0))
    return User(
        name,
        rights,
        values.get("token", ()),
        words,
        password,
        values.get("unix", frozenset()),
        values.get("certificate", frozenset()),
    )


def _nearest(key: str) -> str:
    near = get_close_matches(key, KEYS, 1)
    return f"the nearest is {near[0]}" if near else f"there are {', '.join(KEYS)}"


def _texts(value: Any) -> list[str]:
    if type(value) is list and all(type(each) is str for each in value):
        return value
    raise ValueError("must be a list of texts in quotes, [...]")


def _patterns(file: TOMLFile, value: Any) -> tuple[bytes, ...]:
    return tuple(map(tableName, _texts(value)))


def _unix(file: TOMLFile, value: Any) -> frozenset[int]:
    if type(value) is not list:
        raise ValueError('must be a list of names or uids, ["www-data", 33]')
    return frozenset(map(_uid, value))


def _uid(value: Any) -> int:
    if value == _OVERFLOW or value == "nobody":
        raise ValueError("must not have nobody, who may be anybody in a container")
    if type(value) is int and 0 <= value < _UIDS - 1:
        return value
    if type(value) is not str:
        raise ValueError("must have names in quotes, and uids as numbers")
    try:
        return pwd.getpwnam(value).pw_uid
    except (KeyError, ValueError):
        raise ValueError(f"{shown(value)} is no user of this system") from None


def _certificate(file: TOMLFile, value: Any) -> frozenset[str]:
    names = _texts(value)
    for name in names:
        if not _isSubject(name):
            raise ValueError(f'{shown(name)} must be "CN=..." or "DNS:..."')
    return frozenset(names)


def _token(file: TOMLFile, value: Any) -> tuple[TokenHash, ...]:
    texts = [value] if isinstance(value, str) else _texts(value)
    if len(texts) > _TOKENS:
        raise ValueError(f"must be no more than {_TOKENS}")
    return tuple(map(TokenHash.parse, texts))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("must be a text in quotes")


def _password(file: TOMLFile, value: Any) -> PasswordHash:
    return PasswordHash.parse(_text(value))


def _passwordFile(file: TOMLFile, value: Any) -> PasswordHash | TokenHash:
    """Return what is to be compared, of a file that has a hash, or the secret itself.

    The latter needs no slow hash: who reads that file needs none.
    """
    path = _text(value)
    if not path or "\0" in path:
        raise ValueError("must be the path of a file")
    path = os.path.join(os.path.dirname(os.path.abspath(file.path)), path)
    try:
        secret = readPrivate(path, LONGEST).split(b"\n")[0].removesuffix(b"\r")
    except ConfigError as error:
        raise ValueError(str(error)) from None
    if not 0 < len(secret) <= LONGEST:
        raise ValueError(f"{path} must have a line of 1 to {LONGEST} bytes")
    text = secret.decode("latin-1")
    if text.startswith("scrypt:"):
        return PasswordHash.parse(text)
    return TokenHash.parse(text) if text.startswith("sha256:") else TokenHash.of(secret)


def _role(file: TOMLFile, value: Any) -> int:
    if isinstance(value, str) and value in ROLES:
        return ROLES[value]
    raise ValueError(f"must be {' or '.join(ROLES)}")


_LISTS = ("write", "read", "manage", "unix", "certificate")
#: What reads the value of each key; it raises ValueError with what is allowed.
KEYS: Mapping[str, Callable[[TOMLFile, Any], Any]] = {
    "unix": _unix,
    "certificate": _certificate,
    "token": _token,
    "password": _password,
    "password-file": _passwordFile,
    "write": _patterns,
    "read": _patterns,
    "manage": _patterns,
    "role": _role,
}
