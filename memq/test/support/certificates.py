"""Certificates for tests, made by the command openssl, once a process."""

from __future__ import annotations

import atexit
import os
import shutil
import ssl
import subprocess
import tempfile
from functools import cache

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
#: The same of another kind, for which most of the old ciphers are.
RSA = ("-newkey", "rsa:2048", "-nodes")
#: What RFC 5280 wants of an authority, and of what it issues; clients of Python 3.13
#: and later insist.
_USAGE = "keyUsage=critical,keyCertSign,cRLSign"
_EXTENSIONS = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"


def openssl(*arguments: str) -> str:
    """Return what the command prints."""
    return subprocess.run(
        ("openssl", *arguments), check=True, capture_output=True, text=True, timeout=60
    ).stdout


class Authority:
    """An authority, with its own files.

    :ivar path: the file with its certificate.
    """

    def __init__(self, folder: str, name: str) -> None:
        """Make its key and its certificate."""
        self._folder = folder
        self._name = name
        self.path = os.path.join(folder, f"{name}.pem")
        self._key = os.path.join(folder, f"{name}.key")
        subject = ("-subj", f"/CN={name}", "-days", "30", "-addext", _USAGE)
        openssl(
            "req", "-x509", *_KEY, "-keyout", self._key, "-out", self.path, *subject
        )
        self._extensions = os.path.join(folder, f"{name}.ext")
        with open(self._extensions, "w", encoding="ascii") as file:
            file.write(_EXTENSIONS)

    def issue(
        self,
        name: str,
        days: int = 30,
        address: str = "",
        kind: tuple[str, ...] = _KEY,
    ) -> tuple[str, str]:
        """Return the files with a certificate of a name, common and DNS, and its key.

        :param days: how long it lasts; less than 0 for one that is over.
        :param address: is a name of it, too.
        :param kind: words for openssl that say what its key is.
        """
        stem = os.path.join(self._folder, f"{self._name}-{name}")
        request, certificate, key = stem + ".csr", stem + ".pem", stem + ".key"
        others = f"DNS:{name},IP:{address}" if address else f"DNS:{name}"
        names = ("-subj", f"/CN={name}", "-addext", f"subjectAltName={others}")
        openssl("req", "-new", *kind, "-keyout", key, "-out", request, *names)
        signed = ("-CA", self.path, "-CAkey", self._key, "-CAcreateserial")
        more = ("-copy_extensions", "copy", "-extfile", self._extensions)
        end = (*more, "-days", str(days))
        openssl("x509", "-req", "-in", request, *signed, *end, "-out", certificate)
        return certificate, key


class Files:
    """What most tests need.

    :ivar folder: where it is; it ends with the process.
    :ivar authority: the authority that both sides believe.
    :ivar server: the files of ``localhost``, as ``Authority.issue`` returns them.
    :ivar client: the files of ``Shop-1``.
    """

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="memq-tls-")
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.authority = Authority(self.folder, "authority")
        self.server = self.authority.issue("localhost", address="127.0.0.1")
        self.client = self.authority.issue("Shop-1")

    def clientContext(self, *files: str) -> ssl.SSLContext:
        """Return the context of a client.

        :param files: its certificate and its key, if it has some.
        """
        context = ssl.create_default_context(cafile=self.authority.path)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        if files:
            context.load_cert_chain(*files)
        return context


@cache
def files() -> Files:
    """Return those of this process."""
    return Files()
