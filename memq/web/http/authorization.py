"""Authorization: what the header of that name says, as HTTP's Basic and Bearer.

RFC 7617 and RFC 6750.  A user's name ends at the first colon, which no name has; all
the rest is the password, as bytes.
"""

from __future__ import annotations

from base64 import b64decode

from memq.wire.auth.ascii import Credentials


class Token(bytes):
    """A token that is said alone; no log shows it."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return nothing of it."""
        return "Token"

    __str__ = __repr__


def said(value: bytes) -> Credentials | Token | None:
    """Return what a header says; None if it is neither of both."""
    scheme, _, rest = value.strip().partition(b" ")
    rest = rest.strip()
    if scheme.lower() == b"bearer" and rest:
        return Token(rest)
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, secret = b64decode(rest, validate=True).partition(b":")
    except ValueError:
        return None
    return Credentials(user, secret) if colon else None
