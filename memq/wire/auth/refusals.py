"""Refusals of access, in the words of memcached, which clients compare."""

from __future__ import annotations

from memq.errors import QueueError


class Unauthenticated(QueueError):
    """A client says something before it has said who it is."""

    reply = b"CLIENT_ERROR unauthenticated"

    def __init__(self, closes: bool = False) -> None:
        """Refuse; ``closes`` where a client may not go on."""
        super().__init__()
        self.closes = closes


class AuthFailed(QueueError):
    """A client is not who it says, or says it too often."""

    reply = b"CLIENT_ERROR authentication failure"

    def __init__(self, closes: bool = False) -> None:
        """Refuse; ``closes`` if that is enough."""
        super().__init__()
        self.closes = closes


class BadToken(QueueError):
    """The body of an authentication is no user and password."""

    reply = b"CLIENT_ERROR bad authentication token format"


class BadTermination(QueueError):
    """The body of an authentication does not end where its line says."""

    reply = b"CLIENT_ERROR bad command line termination"


class TokenTooLong(QueueError):
    """The body of an authentication is longer than any can be; it is thrown away."""

    reply = b"CLIENT_ERROR auth token too long"


class LineTooLong(QueueError):
    """There is no line where one should be: the connection is closed without a word."""

    reply = b""
    closes = True


class NotAllowed(QueueError):
    """A user has not the right for a command: nothing is done."""

    reply = b"CLIENT_ERROR not allowed"
