"""Identity: who a client is to a server that asks, and how TLS is spoken with it.

Secrets are read from files, or typed: command lines and environments can be seen by
others.  A server is asked first whether it wants to know: so no secret is said to one
that does not, to which it would be a message.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.client.address import connectTo
from memq.client.connection import STORED, Connection, ServerRefused
from memq.display import shownText
from memq.errors import CommandError, ConfigError

if TYPE_CHECKING:
    import argparse
    import ssl
    from collections.abc import Iterable, Mapping

    from memq.client.address import Address

#: What a server says that wants to know, and the exit status of one that is not told.
_UNKNOWN = b"CLIENT_ERROR unauthenticated"
_REFUSED = 3
#: What a variable says that means no.
_NO = ("", "0", "no")


class Choice(NamedTuple):
    """An option, by its name in Identity.

    :ivar variable: names its value where the option does not.
    :ivar metavar: of its value; empty for none.
    """

    option: str
    variable: str
    metavar: str
    does: str


CHOICES = {
    "user": Choice("--user", "MEMQ_USER", "NAME", "who one is to the server"),
    "passwordFile": Choice(
        *("--password-file", "MEMQ_PASSWORD_FILE", "FILE"),
        "its first line is the password, or a token (default: asked for)",
    ),
    "tls": Choice("--tls", "MEMQ_TLS", "", "speak TLS, if not by a UNIX socket"),
    "ca": Choice(
        *("--ca", "MEMQ_CA", "FILE"),
        "certificates that are trusted (default: the system's); means --tls",
    ),
    "certificate": Choice(
        *("--certificate", "MEMQ_CERTIFICATE", "FILE"),
        "the own certificate, with its chain; means --tls",
    ),
    "key": Choice(
        *("--key", "MEMQ_KEY", "FILE"),
        "its key (default: in the file of the certificate)",
    ),
}


def addIdentity(parser: argparse.ArgumentParser) -> None:
    """Add the options that say who one is, and of TLS."""
    for name, (option, variable, metavar, does) in CHOICES.items():
        takes: dict[str, Any] = {"metavar": metavar}
        if not metavar:
            takes = {"action": "store_true"}
        parser.add_argument(option, dest=name, help=f"{does} (${variable})", **takes)


class Identity:
    """Who somebody is.

    :ivar user: the name; empty where it is not said.
    """

    def __init__(
        self,
        given: Mapping[str, object],
        variables: Mapping[str, str] = os.environ,
    ) -> None:
        """Take what options say, and else what variables do.

        :param given: by the keys of CHOICES; others are no matter.
        """

        def said(name: str) -> str:
            value = given.get(name) or variables.get(CHOICES[name].variable, "")
            return str(value)

        self.user = said("user")
        self._passwordFile = said("passwordFile")
        self._ca, self._certificate, self._key = map(said, ("ca", "certificate", "key"))
        isAsked = said("tls").lower() not in _NO
        self._isSecured = isAsked or bool(self._ca or self._certificate)
        self._typed: bytes | None = None

    def connect(self, places: Iterable[Address]) -> Connection:
        """Return a connection to the first place that accepts one.

        :raise memq.errors.CommandError: when none does, or one does not let it in.
        """
        connection = Connection(connectTo(places, self.context()))
        try:
            self.enter(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def context(self) -> ssl.SSLContext | None:
        """Return what TLS is spoken with; None without it."""
        if self._key and not self._certificate:
            raise CommandError("--key needs --certificate", 2)
        if not self._isSecured:
            return None
        # It takes a fiftieth of a second to load.
        import ssl

        try:
            context = ssl.create_default_context(cafile=self._ca or None)
        except (OSError, ValueError) as error:
            raise CommandError(
                f"--ca {shownText(self._ca)}: {_why(error)}", 2
            ) from None
        if self._certificate:
            try:
                # A key that wants a password must not ask for one here.
                context.load_cert_chain(self._certificate, self._key or None, "")
            except (OSError, ValueError) as error:
                words = f"--certificate {shownText(self._certificate)}"
                raise CommandError(f"{words}: {_why(error)}", 2) from None
        return context

    def enter(self, connection: Connection) -> None:
        """Say who one is to a server that wants to know.

        :raise memq.errors.CommandError: when it does not let one in.
        """
        if not self.user:
            return
        connection.send(b"version\r\n")
        line = connection.line()
        if line != _UNKNOWN:
            return
        said = b"%b %b" % (os.fsencode(self.user), self._secret())
        connection.send(b"set auth 0 0 %d\r\n%b\r\n" % (len(said), said))
        try:
            isKnown = connection.answer() == STORED.rstrip()
        except ServerRefused:
            isKnown = False
        if not isKnown:
            user = shownText(self.user)
            words = f"user {user}: the server says that this or the password is wrong"
            raise CommandError(words, _REFUSED)

    def _secret(self) -> bytes:
        """Return the password or the token.

        :raise memq.errors.CommandError: when it cannot be had.
        """
        # It takes a twentieth of a second to load.
        from memq.access.secrets import LONGEST, readPrivate

        if self._passwordFile:
            try:
                text = readPrivate(self._passwordFile, LONGEST)
            except ConfigError as error:
                raise CommandError(f"--password-file: {error}", 2) from None
            return text.split(b"\n")[0].removesuffix(b"\r")
        if self._typed is None:
            user = shownText(self.user)
            if not (sys.stdin.isatty() and sys.stderr.isatty()):
                raise CommandError(f"--user {user} needs --password-file", 2)
            from getpass import getpass

            try:
                # Those who have several connections are asked once.
                self._typed = os.fsencode(getpass(f"Password of {user}: "))
            except EOFError:
                raise CommandError("no password was typed", 2) from None
        return self._typed


def _why(error: Exception) -> str:
    """Return why a file cannot be taken."""
    reason = getattr(error, "reason", None)
    return str(reason or getattr(error, "strerror", None) or error)
