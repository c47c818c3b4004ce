"""Contexts are made of files, and made anew where these are good."""

from __future__ import annotations

import os
import shutil
import ssl
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import ConfigError
from memq.net.certificates import (
    CIPHERS,
    WARNS,
    Certificates,
    Identity,
    TLSSettings,
    keyPath,
    load,
    notAfter,
    reason,
)
from memq.test.support.certificates import files, openssl

#: A day in 2026, far from the end of what is made for tests in this millennium.
DAY = 86400.0


class FileTests(SynchronousTestCase):
    """A test with files of its own."""

    def setUp(self) -> None:
        """Copy the server's files."""
        self.files = files()
        folder = self.mktemp()
        os.mkdir(folder)
        self.certificate = os.path.join(folder, "server.pem")
        self.key = os.path.join(folder, "server.key")
        self.put(*self.files.server)

    def put(self, certificate: str, key: str) -> None:
        """Put other files there."""
        shutil.copy(certificate, self.certificate)
        shutil.copy(key, self.key)
        os.chmod(self.key, 0o640)

    def settings(self, **others: Any) -> TLSSettings:
        """Return settings with these files."""
        return TLSSettings(self.certificate, self.key)._replace(**others)

    def refusal(self, **others: Any) -> str:
        """Return the line that refuses settings."""
        error = self.assertRaises(ConfigError, load, self.settings(**others))
        self.assertNotIn("\n", str(error))
        return str(error)


class LoadTests(FileTests):
    """What makes a context, and what does not."""

    def test_context(self) -> None:
        """TLS 1.2 and up, no renegotiation, ciphers with forward secrecy only."""
        context = load(self.settings()).context
        self.assertEqual(context.minimum_version, ssl.TLSVersion.TLSv1_2)
        self.assertTrue(context.options & ssl.OP_NO_RENEGOTIATION)
        self.assertEqual(context.verify_mode, ssl.CERT_NONE)
        for cipher in context.get_ciphers():
            self.assertTrue(cipher["aead"], cipher)
            if cipher["protocol"] != "TLSv1.3":
                self.assertEqual(cipher["kea"], "kx-ecdhe")
        self.assertIn("ECDHE", CIPHERS)

    def test_minimum(self) -> None:
        """TLS 1.3 may be demanded."""
        context = load(self.settings(minimum="1.3")).context
        self.assertEqual(context.minimum_version, ssl.TLSVersion.TLSv1_3)

    def test_clients(self) -> None:
        """Certificates of clients may be asked for, or demanded, by an authority."""
        for word, mode in (
            ("optional", ssl.CERT_OPTIONAL),
            (
                "required",
                ssl.CERT_REQUIRED,
            ),
        ):
            found = load(
                self.settings(
                    clientCA=self.files.authority.path, clientCertificate=word
                )
            )
            self.assertEqual(found.context.verify_mode, mode)
            self.assertEqual(len(found.context.get_ca_certs()), 1)

    def test_noAuthority(self) -> None:
        """Certificates of clients need an authority."""
        self.assertEqual(
            self.refusal(clientCertificate="required"),
            "client-certificate: required needs a client-ca",
        )

    def test_end(self) -> None:
        """The end of the certificate is what openssl says."""
        words = openssl("x509", "-in", self.certificate, "-noout", "-enddate")
        found = load(self.settings()).notAfter
        self.assertEqual(
            found, ssl.cert_time_to_seconds(words.strip().removeprefix("notAfter="))
        )

    def test_lateEnd(self) -> None:
        """A certificate may end after 2049, which is written in another way."""
        self.put(*self.files.authority.issue("late", 36500))
        self.assertGreater(load(self.settings()).notAfter, 3e9)

    def test_oldForm(self) -> None:
        """A certificate of the first version says none."""
        time = b"\x17\x0d" + b"260102030405Z"
        empty, ends = b"\x30\x00", b"\x30\x1e" + time + time
        inner = b"\x02\x01\x01" + empty + empty + ends
        outer = b"\x30%c" % len(inner) + inner
        der = b"\x30%c" % len(outer) + outer
        self.assertEqual(notAfter(der), 1767323045)

    def test_readable(self) -> None:
        """A key that others may reach is refused, and the mode told."""
        os.chmod(self.key, 0o644)
        self.assertEqual(
            self.refusal(),
            f"{self.key}: others may reach it (mode 644); a key must be "
            f"0640 at most: chmod o= {self.key}",
        )
        os.chmod(self.key, 0o642)
        self.assertIn("others may reach it (mode 642)", self.refusal())

    def test_missing(self) -> None:
        """A file that is not there is named."""
        why = "cannot be read: No such file or directory"
        self.assertEqual(self.refusal(certificate="/none"), f"/none: {why}")
        self.assertEqual(self.refusal(key="/none"), f"/none: {why}")
        self.assertEqual(self.refusal(clientCA="/none"), f"/none: {why}")

    def test_pipe(self) -> None:
        """A pipe is no file, and nobody waits for it."""
        path = self.mktemp()
        os.mkfifo(path)
        self.assertEqual(self.refusal(key=path), f"{path}: must be a file")

    def test_passphrase(self) -> None:
        """A key with a passphrase is refused; none is asked for."""
        path = self.mktemp()
        old = ("-in", self.key, "-out", path)
        openssl("pkcs8", "-topk8", *old, "-passout", "pass:secret")
        os.chmod(path, 0o600)
        self.assertEqual(
            self.refusal(key=path),
            f"{path}: has a passphrase; memq needs a key without one",
        )

    def test_otherKey(self) -> None:
        """The key of another certificate is refused."""
        shutil.copy(self.files.client[1], self.key)
        self.assertEqual(
            self.refusal(), f"{self.key}: is not the key of {self.certificate}"
        )

    def test_nonsense(self) -> None:
        """Files with something else in them are named."""
        path = self.mktemp()
        pem = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"
        for words in "", "no", pem.format("AAAA"), pem.format("MIIB"), pem.format("!"):
            with open(path, "w", encoding="ascii") as file:
                file.write(words)
            os.chmod(path, 0o600)
            why = f"{path}: must have a certificate in PEM"
            self.assertEqual(self.refusal(certificate=path), why)
            self.assertEqual(
                self.refusal(clientCA=path), f"{path}: must have certificates in PEM"
            )
            self.assertIn("no key that can be used with", self.refusal(key=path))

    def test_credential(self) -> None:
        """A key may be one that systemd hands over."""
        folder, name = os.path.split(self.key)
        self.patch(os, "environ", {"CREDENTIALS_DIRECTORY": folder})
        load(self.settings(key=f"credential:{name}"))
        self.patch(os, "environ", {})
        self.assertEqual(
            self.refusal(key="credential:x"),
            "key credential:x: systemd hands over no credentials",
        )
        self.assertEqual(keyPath("/a"), "/a")

    def test_reason(self) -> None:
        """An error of the library has words, however it came."""
        self.assertEqual(reason(ssl.SSLError(1, "Odd")), "odd")


class CertificatesTests(FileTests):
    """The identity in force."""

    def setUp(self) -> None:
        """Read it."""
        super().setUp()
        self.now = 0.0
        self.certificates = Certificates(self.settings(), lambda: self.now)

    def prepare(self) -> Identity:
        """Read it again."""
        return self.certificates.prepare(self.certificates.settings)

    def test_reload(self) -> None:
        """What is read again is in force when that is said, and not before."""
        before = self.certificates.context
        found = self.prepare()
        self.assertIs(self.certificates.context, before)
        settings = self.settings(minimum="1.3")
        self.certificates.replace(settings, found)
        self.assertIs(self.certificates.context, found.context)
        self.assertIs(self.certificates.settings, settings)

    def test_bad(self) -> None:
        """The old one stays where the new one is bad."""
        before = self.certificates.identity
        self.put(self.files.server[0], self.files.client[1])
        self.assertRaises(ConfigError, self.prepare)
        self.assertIs(self.certificates.identity, before)

    def test_expired(self) -> None:
        """The old one stays where the new one has ended; a start only warns."""
        self.now = self.certificates.identity.notAfter
        error = self.assertRaises(ConfigError, self.prepare)
        self.assertRegex(str(error), r"server.pem: expired on 20\d\d-\d\d-\d\d$")
        again = Certificates(self.settings(), lambda: self.now)
        self.assertEqual(again.warning(), str(error))

    def test_warning(self) -> None:
        """It is warned of a certificate that ends within 14 days."""
        self.now = self.certificates.identity.notAfter - WARNS - 1
        self.assertIsNone(self.certificates.warning())
        self.now += DAY
        self.assertRegex(
            str(self.certificates.warning()), r"server.pem: expires in 13 d, on 20"
        )
