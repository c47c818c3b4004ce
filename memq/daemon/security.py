"""Security: the users and the certificates of a server, read again at a reload.

All is read, or nothing changes: what is read goes into new objects first, in the thread
in which rules are read, and with these takes the place of the old ones in the reactor.
The files are read as the user that the server runs as, also at the start: what could
not be read again is refused while somebody looks.

The end of a certificate is looked at at the start, after each reload and once a day.
"""

from __future__ import annotations

import os
from functools import partial
from time import time
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.logger import Logger
from twisted.python.util import runAsEffectiveUser

from memq.access.sources import UserSources
from memq.access.users import encoded
from memq.config import file
from memq.daemon.process import forbidCoreFiles
from memq.display import numbered
from memq.errors import ConfigError, StartError
from memq.net.certificates import Certificates
from memq.net.handshakes import Handshakes
from memq.net.tls import TLSFactory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IDelayedCall, IProtocolFactory, IReactorTime

    from memq.access.admission import AccessControl
    from memq.access.users import Users
    from memq.config.commandline import Options
    from memq.config.file import Config
    from memq.config.listening import Listen

#: The file of users, beside the configuration file.
USERS = "users.toml"
#: What the page speaks over TLS.
_HTTP = ("http/1.1",)
#: Seconds between two looks at the ends of certificates.
DAY = 86_400.0

_log = Logger()


class Encryption:
    """TLS, for all listeners of one kind.

    :ivar certificates: what they show.
    :ivar factories: those of the listeners that listen.
    """

    def __init__(
        self, certificates: Certificates, clock: IReactorTime, handshakes: Handshakes
    ) -> None:
        self.certificates = certificates
        self.factories: list[TLSFactory] = []
        self._clock = clock
        self._handshakes = handshakes

    @property
    def asks(self) -> bool:
        """Whether clients are asked for certificates."""
        return self.certificates.settings.clientCertificate != "none"

    def wrap(self, factory: IProtocolFactory) -> TLSFactory:
        """Return what serves another factory's protocols over TLS."""
        made = TLSFactory(
            factory,
            lambda: self.certificates.context,
            self._clock,
            self._handshakes,
        )
        self.factories.append(made)
        return made


class Security:
    """Users and certificates.

    :ivar users: those that there were at the start.
    :ivar queues: TLS of the listeners; None for none.
    :ivar web: that of the page; None for none.
    """

    def __init__(
        self,
        sources: UserSources,
        config: Config,
        listens: Sequence[Listen] = (),
        queues: Encryption | None = None,
        web: Encryption | None = None,
    ) -> None:
        """Read the users; certificates are read already.

        :param listens: the tables of the listeners.
        :raise memq.errors.ConfigError: when they cannot be taken.
        """
        self.queues, self.web = queues, web
        self._sources = sources
        self._listens = listens
        self.users = self._read(config, False)
        self._access: AccessControl | None = None
        if self.users.names or self._encryptions:
            forbidCoreFiles()

    def serve(self, access: AccessControl) -> None:
        """Name what is told of new users."""
        self._access = access

    @property
    def _encryptions(self) -> list[Encryption]:
        return [each for each in (self.queues, self.web) if each is not None]

    def paths(self) -> list[str]:
        """Return the files that are read, but for the configuration file."""
        found = [each.certificates.paths for each in self._encryptions]
        return [*self._sources.paths, *(path for paths in found for path in paths)]

    def ends(self) -> float | None:
        """Return when the certificate ends, in seconds since 1970; None without one."""
        found = [each.certificates.identity.notAfter for each in self._encryptions]
        return min(found, default=None)

    def failures(self) -> int:
        """Return how many connections failed on ports with TLS."""
        factories = [
            each for encryption in self._encryptions for each in encryption.factories
        ]
        return sum(sum(each.failures.values()) for each in factories)

    def warn(self) -> None:
        """Log that a certificate ends soon, if one does."""
        lines = [each.certificates.warning() for each in self._encryptions]
        for line in dict.fromkeys(lines):
            if line is not None:
                _log.warn("[tls] certificate {line}", line=line)

    def prepare(self, config: Config) -> Callable[[], None]:
        """Read all again, and change nothing; in a thread.

        :return: what lets it hold.
        :raise memq.errors.ConfigError: when something cannot be taken.
        """
        assert self._access is not None
        users = self._read(config, self._access.hasUsers)
        found = [
            (each.certificates, settings, each.certificates.prepare(settings))
            for each in self._encryptions
            for settings in (config.tls or each.certificates.settings,)
        ]
        return partial(self._hold, users, found)

    def _read(self, config: Config, hadUsers: bool) -> Users:
        users = self._sources.read(config, hadUsers)
        for listen in self._listens:
            if listen.user and encoded(listen.user) not in users.names:
                why = "there is no such user"
                raise ConfigError(listen.line, None, f'user = "{listen.user}": {why}')
        return users

    def _hold(self, users: Users, found: Sequence[Any]) -> None:
        for certificates, settings, identity in found:
            certificates.replace(settings, identity)
        for line in dict.fromkeys(each.told() for each, _, _ in found):
            _log.info("[tls] certificate {line}, is read again", line=line)
        assert self._access is not None
        self._access.replace(users)
        if users.names:
            forbidCoreFiles()
            there = numbered(len(users.names), "user")
            _log.info("Users are read again: {there}", there=there)
        self.warn()


def readSecurity(
    options: Options, clock: IReactorTime, owner: tuple[int, int]
) -> Security:
    """Return the users and the certificates that options name.

    :param owner: uid and gid of the server.
    :raise memq.errors.StartError: when they cannot be taken.
    """
    found: Security = runAsEffectiveUser(*owner, _readSecurity, options, clock)
    return found


def _readSecurity(options: Options, clock: IReactorTime) -> Security:
    settings = options.config.tls
    handshakes = Handshakes(clock)

    def encryption(protocols: Sequence[str]) -> Encryption:
        assert settings is not None
        return Encryption(Certificates(settings, time, protocols), clock, handshakes)

    queues = web = None
    if any(listen.tls for listen in options.listens):
        queues = encryption(())
    if options["web-tls"]:
        if settings is None:
            raise StartError("--web-tls: needs a table [tls] in the configuration file")
        web = encryption(_HTTP)
    return Security(_sources(options), options.config, options.listens, queues, web)


def _sources(options: Options) -> UserSources:
    """Return where users stand; what is named is there whatever directory comes."""
    path, authFile = options["users"], options["auth-file"]
    if authFile is not None:
        authFile = os.path.abspath(authFile)
    if path is not None:
        return UserSources(os.path.abspath(path), True, authFile)
    if options["no-config"]:
        return UserSources("", False, authFile)
    beside = os.path.dirname(options.config.path or file.DEFAULT)
    return UserSources(os.path.join(beside, USERS), False, authFile)


class CertificateWatch(Service):
    """Looks once a day whether a certificate ends soon."""

    def __init__(self, clock: IReactorTime, security: Security) -> None:
        self._clock = clock
        self._security = security
        self._next: IDelayedCall | None = None

    def startService(self) -> None:
        """Look for the first time."""
        super().startService()
        self._look()

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        if self._next is not None:
            self._next.cancel()

    def _look(self) -> None:
        self._security.warn()
        self._next = self._clock.callLater(DAY, self._look)
