"""TLS certificates: contexts of the standard library's ssl, read again at a reload.

A context is never changed: connections that have begun keep theirs.  What is read again
goes into a new one, and where that cannot be had, the old one stays.

Ciphers of TLS 1.2 are those with forward secrecy and authenticated encryption; TLS 1.3
has no others.  Nobody renegotiates, and nothing is compressed.

Invariant: no passphrase is asked for, and nothing of a key is kept but in a context.
"""

from __future__ import annotations

import os
import re
import ssl
import stat
from calendar import timegm
from datetime import datetime
from time import gmtime, strftime
from typing import TYPE_CHECKING, NamedTuple

from memq.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Seconds before the end of a certificate from which on it is warned of.
WARNS = 14 * 24 * 3600
#: A client's certificate: not asked for, taken where there is one, or demanded.
CLIENT_CERTIFICATES = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
#: The oldest version that is spoken.
MINIMA = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
#: Of TLS 1.2.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
#: Begins the name of a key that systemd hands over.
CREDENTIAL = "credential:"

_PEM = re.compile(
    b"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----(.+?)-----END", re.DOTALL
)
#: Tags of DER.
_VERSION, _SHORT_TIME = 0xA0, 0x17


class TLSSettings(NamedTuple):
    """What ``[tls]`` says.

    :ivar certificate: path of a PEM file: the server's certificate, and those up to the
        authority's.
    :ivar key: path of the PEM file with its key, without a passphrase;
        ``credential:NAME`` is one that systemd hands over.
    :ivar clientCA: path of the PEM file of the authorities of clients' certificates.
    :ivar clientCertificate: a key of CLIENT_CERTIFICATES.
    :ivar minimum: a key of MINIMA.
    """

    certificate: str
    key: str
    clientCA: str | None = None
    clientCertificate: str = "none"
    minimum: str = "1.2"


class Identity(NamedTuple):
    """What a server shows.

    :ivar context: begins connections.
    :ivar notAfter: when the certificate ends, in seconds since 1970.
    """

    context: ssl.SSLContext
    notAfter: float


class Certificates:
    """The identity that connections begin with.

    :ivar settings: what it is read by.
    :ivar identity: the one in force.
    """

    def __init__(
        self,
        settings: TLSSettings,
        timeOfDay: Callable[[], float],
        protocols: Sequence[str] = (),
    ) -> None:
        """Read it.

        :param timeOfDay: seconds since 1970.
        :param protocols: those of ALPN, the best first, such as ``http/1.1``.
        :raise memq.errors.ConfigError: where a file cannot be used.
        """
        self.settings = settings
        self._timeOfDay = timeOfDay
        self._protocols = protocols
        self.identity = load(settings, protocols)

    @property
    def context(self) -> ssl.SSLContext:
        """Return the context of the next connection."""
        return self.identity.context

    @property
    def paths(self) -> list[str]:
        """Return the files that are read."""
        certificate, key, authorities, *_ = self.settings
        return [certificate, keyPath(key), *filter(None, [authorities])]

    def prepare(self, settings: TLSSettings) -> Identity:
        """Read the files again, and change nothing; any thread may do that.

        :param settings: what they are read by.
        :raise memq.errors.ConfigError: where one cannot be used, or the new
            certificate has ended.
        """
        found = load(settings, self._protocols)
        if found.notAfter <= self._timeOfDay():
            why = f"expired on {_day(found.notAfter)}"
            raise ConfigError(settings.certificate, None, why)
        return found

    def replace(self, settings: TLSSettings, identity: Identity) -> None:
        """Let what was prepared take the place of the old one."""
        self.settings, self.identity = settings, identity

    def told(self) -> str:
        """Return a line about the certificate."""
        return f"{self.settings.certificate}: ends on {_day(self.identity.notAfter)}"

    def warning(self) -> str | None:
        """Return a line about a certificate that ends soon, None for no such."""
        left = self.identity.notAfter - self._timeOfDay()
        if left > WARNS:
            return None
        day = _day(self.identity.notAfter)
        if left <= 0:
            return f"{self.settings.certificate}: expired on {day}"
        return f"{self.settings.certificate}: expires in {left / 86400:.0f} d, on {day}"


def load(settings: TLSSettings, protocols: Sequence[str] = ()) -> Identity:
    """Read certificate, key and authorities into a new context.

    :raise memq.errors.ConfigError: where one cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = MINIMA[settings.minimum]
    context.options |= (
        ssl.OP_NO_RENEGOTIATION
        | ssl.OP_NO_COMPRESSION
        | ssl.OP_CIPHER_SERVER_PREFERENCE
    )
    context.set_ciphers(CIPHERS)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    notAfter = _end(settings.certificate, _read(settings.certificate))
    _loadKey(context, settings.certificate, keyPath(settings.key))
    context.verify_mode = CLIENT_CERTIFICATES[settings.clientCertificate]
    if settings.clientCA is not None:
        _loadAuthorities(context, settings.clientCA)
    elif settings.clientCertificate != "none":
        why = f"{settings.clientCertificate} needs a client-ca"
        raise ConfigError("client-certificate", None, why)
    return Identity(context, notAfter)


def keyPath(name: str) -> str:
    """Return where a key is.

    :raise memq.errors.ConfigError: for a credential, where systemd gave none.
    """
    if not name.startswith(CREDENTIAL):
        return name
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder is None:
        raise ConfigError(f"key {name}", None, "systemd hands over no credentials")
    return os.path.join(folder, name.removeprefix(CREDENTIAL))


def _loadKey(context: ssl.SSLContext, certificate: str, key: str) -> None:
    asked: list[str] = []

    def password() -> str:
        # Without this, OpenSSL would ask on the terminal.
        asked.append(key)
        return ""

    _read(key, isSecret=True)
    try:
        context.load_cert_chain(certificate, key, password)
    except ssl.SSLError as error:
        if asked:
            why = "has a passphrase; memq needs a key without one"
        elif error.reason == "KEY_VALUES_MISMATCH":
            why = f"is not the key of {certificate}"
        else:
            why = f"no key that can be used with {certificate}: {reason(error)}"
        raise ConfigError(key, None, why) from error


def _loadAuthorities(context: ssl.SSLContext, path: str) -> None:
    words = _read(path).decode("ascii", "replace")
    try:
        context.load_verify_locations(cadata=words)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(path, None, "must have certificates in PEM") from error


def _read(path: str, *, isSecret: bool = False) -> bytes:
    """Return what is in a file.

    :param isSecret: whether nobody but its owner and its group may reach it.
    """
    try:
        with open(path, "rb", opener=_openNow) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError(path, None, "must be a file")
            if isSecret and mode & stat.S_IRWXO:
                raise ConfigError(
                    path,
                    None,
                    f"others may reach it (mode {stat.S_IMODE(mode):o}); "
                    f"a key must be 0640 at most: chmod o= {path}",
                )
            return file.read()
    except OSError as error:
        raise ConfigError(path, None, f"cannot be read: {error.strerror}") from error


def _openNow(path: str, flags: int) -> int:
    # A pipe would wait for somebody who writes.
    return os.open(path, flags | os.O_NONBLOCK)


def _end(path: str, words: bytes) -> float:
    """Return when the first certificate of a PEM file ends, in seconds since 1970."""
    found = _PEM.search(words)
    try:
        if found is None:
            raise ValueError(path)
        return notAfter(ssl.PEM_cert_to_DER_cert(_armoured(found[1])))
    except (ValueError, IndexError) as error:
        raise ConfigError(path, None, "must have a certificate in PEM") from error


def _armoured(inner: bytes) -> str:
    return f"{ssl.PEM_HEADER}\n{inner.decode('ascii').strip()}\n{ssl.PEM_FOOTER}"


def notAfter(der: bytes) -> float:
    """Return when a certificate ends, in seconds since 1970.

    It is at a fixed place, RFC 5280 section 4.1: a certificate is a sequence that
    begins with the sequence of version (which may be missing), serial number,
    algorithm, issuer and validity; that has the two ends.  The standard library tells
    it of a certificate that it has verified, and of no other.

    :raise ValueError: where there is no such time; or IndexError.
    """
    tag, at, _ = _element(der, _element(der, 0)[1])
    tag, _, after = _element(der, at)
    if tag == _VERSION:
        _, _, after = _element(der, after)
    for _ in ("algorithm", "issuer"):
        _, _, after = _element(der, after)
    _, at, _ = _element(der, after)
    _, _, after = _element(der, at)
    tag, at, after = _element(der, after)
    form = "%y%m%d%H%M%SZ" if tag == _SHORT_TIME else "%Y%m%d%H%M%SZ"
    words = der[at:after].decode("ascii")
    # Python has the same two centuries: RFC 5280 says 50, and it 69; such old ones are
    # over in both.
    return timegm(datetime.strptime(words, form).timetuple())


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Return the tag of the element at a place, where its value begins, and its end."""
    size, begin = der[at + 1], at + 2
    if size & 0x80:
        begin += size & 0x7F
        size = int.from_bytes(der[at + 2 : begin], "big")
    return der[at], begin, begin + size


def reason(error: ssl.SSLError) -> str:
    """Return why TLS failed, in the library's words; there are few."""
    # An error that Python raises itself has neither.
    why = getattr(error, "verify_message", None) or getattr(error, "reason", None)
    return str(why or error.args[-1]).lower().replace("_", " ")


def _day(seconds: float) -> str:
    return strftime("%Y-%m-%d", gmtime(seconds))
