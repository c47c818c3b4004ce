"""Secrets: hashes of tokens and passwords, and files that others must not read.

A token is 32 random bytes that memq makes.  Nobody guesses it, so one round of SHA-256
keeps it, and a storm of clients that connect again costs microseconds each.  A password
is chosen by a person, so scrypt keeps it, which takes long: its caller runs that in a
thread.  They are written so, the latter in hexadecimal:

    sha256:<digest>
    scrypt:<n>:<r>:<p>:<salt>:<hash>

All comparisons take as long whatever differs.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets

from memq.errors import ConfigError

#: Bytes of a token, of a salt, and of what scrypt makes.
_TOKEN, _SALT, _HASH = 32, 16, 32
#: The cost of a new password: 16 MB and 0.21 s of processor, as measured.
#: It is one of the five costs that OWASP holds for equal, the next to least in memory.
_N, _R, _P = 1 << 14, 8, 5
#: The most memory that scrypt may take, in bytes: 128 * n * r and some more.
_MEMORY = 128 << 20
#: Bytes of a password that is taken at all; no longer one is looked at.
LONGEST = 1024

_SHA256 = re.compile("sha256:([0-9a-f]{64})")
_SCRYPT = re.compile(
    r"scrypt:([0-9]{1,7}):([0-9]{1,2}):([0-9]{1,2}):"
    "((?:[0-9a-f]{2}){8,64}):((?:[0-9a-f]{2}){16,64})"
)


class TokenHash:
    """The hash of a token, or of another secret that nobody can guess."""

    __slots__ = ("digest",)

    def __init__(self, digest: bytes) -> None:
        self.digest = digest

    @classmethod
    def of(cls, token: bytes) -> TokenHash:
        """Return that of a token."""
        return cls(hashlib.sha256(token).digest())

    @classmethod
    def parse(cls, text: str) -> TokenHash:
        """Return the one that is written so; raise ValueError if none is."""
        match = _SHA256.fullmatch(text)
        if match is None:
            raise ValueError('must be "sha256:" and 64 digits, as memq user add makes')
        return cls(bytes.fromhex(match[1]))

    def matches(self, sent: bytes) -> bool:
        """Return whether it is that of what was sent."""
        return hmac.compare_digest(hashlib.sha256(sent).digest(), self.digest)

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"sha256:{self.digest.hex()}"


class PasswordHash:
    """The hash of a password."""

    __slots__ = ("_cost", "_hash", "_salt")

    def __init__(self, cost: tuple[int, int, int], salt: bytes, hashed: bytes) -> None:
        """Take the hash that scrypt makes with a cost (n, r, p) and a salt."""
        self._cost = cost
        self._salt = salt
        self._hash = hashed

    @classmethod
    def of(
        cls, password: bytes, cost: tuple[int, int, int] = (_N, _R, _P)
    ) -> PasswordHash:
        """Return that of a password, with a new salt; it takes long."""
        salt = os.urandom(_SALT)
        return cls(cost, salt, _scrypt(password, cost, salt, _HASH))

    @classmethod
    def decoy(cls) -> PasswordHash:
        """Return one that nothing matches, and that takes as long to find out."""
        return cls((_N, _R, _P), os.urandom(_SALT), os.urandom(_HASH))

    @classmethod
    def parse(cls, text: str) -> PasswordHash:
        """Return the one that is written so; raise ValueError if none is."""
        match = _SCRYPT.fullmatch(text)
        if match is None:
            raise ValueError(
                'must be "scrypt:n:r:p:salt:hash", as memq user add makes it'
            )
        n, r, p = map(int, match.groups()[:3])
        isPower = n > 1 and n.bit_count() == 1
        if not (isPower and r and 0 < p <= 16 and 128 * n * r <= _MEMORY // 2):
            raise ValueError(
                "must have an n that is a power of two, 1 to 16 for p, and no more "
                "than 64 MB in all"
            )
        return cls((n, r, p), bytes.fromhex(match[4]), bytes.fromhex(match[5]))

    def matches(self, sent: bytes) -> bool:
        """Return whether it is that of what was sent; it takes long."""
        isShort = len(sent) <= LONGEST
        made = _scrypt(sent[:LONGEST], self._cost, self._salt, len(self._hash))
        return hmac.compare_digest(made, self._hash) and isShort

    def __str__(self) -> str:
        """Return it as it is written."""
        n, r, p = self._cost
        return f"scrypt:{n}:{r}:{p}:{self._salt.hex()}:{self._hash.hex()}"


def _scrypt(
    password: bytes, cost: tuple[int, int, int], salt: bytes, size: int
) -> bytes:
    n, r, p = cost
    return hashlib.scrypt(
        password, salt=salt, n=n, r=r, p=p, maxmem=_MEMORY, dklen=size
    )


def newToken() -> str:
    """Return a new token: letters, digits, ``-`` and ``_``."""
    return secrets.token_urlsafe(_TOKEN)


def readPrivate(path: str, most: int) -> bytes:
    """Return what stands in a file that has secrets, up to ``most`` bytes and one.

    :raise memq.errors.ConfigError: when it cannot be read, or others can.
    """
    try:
        with open(path, "rb") as file:
            checkPrivate(path, os.fstat(file.fileno()).st_mode)
            return file.read(most + 1)
    except OSError as error:
        raise ConfigError(path, None, error.strerror or str(error)) from None


def checkPrivate(path: str, mode: int) -> None:
    """Raise ConfigError when others may read or write a file that has secrets."""
    if mode & 0o006:
        why = f"has secrets, and its mode {mode & 0o777:04o} opens it to others"
        raise ConfigError(path, None, f"{why}; chmod o= {path}")
