"""TLS between transports and protocols, in memory."""

from __future__ import annotations

import re
import ssl

from memq.net.certificates import TLSSettings, load
from memq.net.encrypted import BATCH, RECORD
from memq.net.handshakes import SECONDS, Handshakes
from memq.net.tls import TLSFactory, namesOf
from memq.test.net.tlsbase import Plain, TLSTestCase
from memq.test.support.certificates import RSA, Authority
from memq.test.support.tlspeers import Pair

#: Names of ciphers with forward secrecy and authenticated encryption, of TLS 1.2.
GOOD = re.compile("ECDHE-(ECDSA|RSA)-(AES(128|256)-GCM-SHA(256|384)|CHACHA20-POLY1305)")


class EndTests(TLSTestCase):
    """How connections end."""

    def test_lose(self) -> None:
        """A close_notify goes before the end, and nothing behind it."""
        pair = self.join()
        above, transport = pair.above, pair.above.transport
        transport.write(b"bye")
        transport.loseConnection()
        transport.write(b"more")
        transport.loseConnection()
        self.assertTrue(transport.disconnecting)
        self.assertEqual(pair.hear(), b"bye")
        self.assertTrue(pair.isTold())
        pair.say(b"late")
        self.assertEqual(above.received, [])
        pair.lose()
        self.assertEqual(above.ends, ["lost"])
        transport.write(b"nobody")

    def test_abort(self) -> None:
        """A connection that is cut off says nothing more, and takes nothing more."""
        pair = self.join()
        pair.above.transport.abortConnection()
        pair.say(b"late")
        self.assertEqual(pair.above.received, [])
        self.assertTrue(pair.beneath.disconnecting)

    def test_halfClose(self) -> None:
        """A client that sends no more is answered, until all has arrived."""
        pair = self.join()
        pair.tls.write(b"get a\r\n")
        pair.farewell()
        self.assertEqual(pair.above.received, [b"get a\r\n"])
        self.assertEqual(pair.above.ends, ["read"])
        self.assertFalse(pair.beneath.disconnecting)
        pair.server.readConnectionLost()
        self.assertEqual(pair.above.ends, ["read"])
        pair.above.transport.write(b"END\r\n")
        pair.above.transport.finishWriting()
        self.assertEqual(pair.beneath.said, ["finishWriting"])
        self.assertEqual(pair.hear(), b"END\r\n")
        self.assertTrue(pair.isTold())
        pair.server.writeConnectionLost()
        self.assertEqual(pair.above.ends, ["read", "written"])

    def test_afterEnd(self) -> None:
        """What comes behind a close_notify is thrown away."""
        pair = self.join()
        pair.say(b"first")
        pair.farewell()
        pair.send(b"\x17\x03\x03\x00\x05xxxxx" * 9)
        pair.above.transport.finishWriting()
        pair.send(b"\x17\x03\x03\x00\x05xxxxx" * 9)
        self.assertEqual(pair.above.received, [b"first"])
        self.assertEqual(pair.above.ends, ["read"])
        self.assertEqual(self.factory.failures, {})

    def test_truncated(self) -> None:
        """An end without close_notify is a half-close; half a record is nothing."""
        pair = self.join()
        pair.tls.write(b"whole")
        pair.tls.write(b"half")
        pair.send(pair.outgoing.read()[:-1])
        pair.server.foreseeEnd()
        self.assertFalse(pair.server.owes)
        pair.above.owes = True
        self.assertTrue(pair.server.owes)
        pair.server.readConnectionLost()
        self.assertEqual(pair.above.received, [b"whole"])
        self.assertEqual(pair.above.ends, ["foreseen", "read"])

    def test_noHalf(self) -> None:
        """A protocol that knows no half-close ends with what comes."""
        self.wrapped.protocol = Plain
        pair = self.join()
        self.assertFalse(pair.server.owes)
        pair.server.foreseeEnd()
        pair.server.writeConnectionLost()
        pair.farewell()
        self.assertTrue(pair.beneath.disconnecting)
        self.assertTrue(pair.isTold())

    def test_early(self) -> None:
        """The end of what comes ends a handshake."""
        pair = Pair(self.factory)
        pair.server.readConnectionLost()
        self.assertTrue(pair.beneath.disconnecting)
        pair.lose()
        self.assertEqual(self.factory.handshakes.pending, {})


class RefusalTests(TLSTestCase):
    """Connections that fail."""

    def refused(self, pair: Pair) -> str:
        """Return why the client fails, after its handshake."""
        error = self.assertRaises(ssl.SSLError, self._meet, pair)
        self.assertTrue(pair.beneath.disconnecting)
        self.assertIsNone(pair.above)
        return str(error.reason)

    def _meet(self, pair: Pair) -> None:
        pair.shake()
        pair.hear()

    def test_plain(self) -> None:
        """Plain text is closed with a line a minute, whatever it says."""
        for text in b"get a\r\n", b"\x80\x0b", b"\x16\x02\x00":
            pair = Pair(self.factory)
            pair.send(text, 1)
            self.assertTrue(pair.beneath.disconnecting)
            self.assertEqual(pair.beneath.value(), b"")
            pair.send(b"more")
            pair.lose()
        why = "it does not speak TLS"
        line = "192.0.2.1:4321 is closed on a port with TLS ({} such): " + why
        self.assertEqual(self.lines, [line.format(1)])
        self.clock.advance(60)
        Pair(self.factory).send(b"GET")
        self.assertEqual(self.lines[1:], [line.format(3)])

    def test_nonsense(self) -> None:
        """A first record that is no hello is refused by an alert."""
        pair = Pair(self.factory)
        pair.send(b"\x16\x03\x01\x00\x04\xff\xff\xff\xff")
        self.assertTrue(pair.beneath.disconnecting)
        self.assertEqual(pair.beneath.value()[:1], b"\x15")
        self.assertEqual(len(self.lines), 1)

    def test_longRecord(self) -> None:
        """A record that says to be too long is not waited for."""
        pair = Pair(self.factory)
        pair.send(b"\x16\x03\x01\xff\xff" + bytes(RECORD))
        self.assertTrue(pair.beneath.disconnecting)

    def test_tooMuch(self) -> None:
        """A client that says much before it is answered is closed."""
        pair = Pair(self.factory)
        pair.send(b"\x16\x03\x01\xff\xff" + bytes(3 * RECORD))
        self.assertIn("it says too much before it is answered", self.factory.failures)

    def test_old(self) -> None:
        """TLS 1.1 is refused, and 1.2 is not."""
        context = self.files.clientContext()
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.assertEqual(self.join(context).tls.version(), "TLSv1.2")
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        reason = self.refused(Pair(self.factory, context))
        self.assertEqual(reason, "TLSV1_ALERT_PROTOCOL_VERSION")
        self.assertIn("TLS failed: unsupported protocol", self.factory.failures)

    def test_newest(self) -> None:
        """TLS 1.3 is what a client of today gets."""
        self.assertEqual(self.join().tls.version(), "TLSv1.3")

    def test_damaged(self) -> None:
        """A record that is damaged closes the connection, and what was whole counts."""
        pair = self.join()
        pair.tls.write(b"whole")
        pair.tls.write(b"broken")
        data = bytearray(pair.outgoing.read())
        data[-1] ^= 1
        pair.send(bytes(data))
        self.assertEqual(pair.above.received, [b"whole"])
        self.assertTrue(pair.beneath.disconnecting)
        self.assertRegex(self.lines[0], "TLS failed: .*bad record mac")
        pair.above.transport.write(b"lost")

    def test_failedWrite(self) -> None:
        """A write that fails closes the connection."""
        pair = self.join()
        self.assertRaises(ssl.SSLError, pair.server._tls.unwrap)
        pair.above.transport.write(b"no")
        self.assertTrue(pair.beneath.disconnecting)
        self.assertEqual(len(self.lines), 1)

    def test_distrusted(self) -> None:
        """A client that does not believe the server says so, and that is logged."""
        context = ssl.create_default_context()
        pair = Pair(self.factory, context)
        self.assertEqual(self.refused(pair), "CERTIFICATE_VERIFY_FAILED")
        self.assertRegex(self.lines[0], "TLS failed: .*unknown ca")

    def test_expiredServer(self) -> None:
        """A server's certificate that is over is served, and clients refuse it."""
        self.factory = self.serve(TLSSettings(*self.files.authority.issue("old", -1)))
        pair = Pair(self.factory)
        self.assertEqual(self.refused(pair), "CERTIFICATE_VERIFY_FAILED")


class CipherTests(TLSTestCase):
    """What is spoken."""

    def test_each(self) -> None:
        """Of all ciphers that a client may offer alone, only the good ones do."""
        every = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        every.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
        names = {
            each["name"]
            for each in every.get_ciphers()
            if each["protocol"] != "TLSv1.3"
        }
        self.assertGreater(len(names), 50)
        spoken = set()
        for pair in (self.files.server, self.files.authority.issue("rsa", kind=RSA)):
            self.factory = self.serve(TLSSettings(*pair))
            spoken |= {each for each in names if self.speaks(each)}
        self.assertEqual(spoken, {each for each in names if GOOD.fullmatch(each)})
        self.assertEqual(len(spoken), 6)

    def speaks(self, cipher: str) -> bool:
        """Return whether TLS 1.2 is spoken with a cipher."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(f"{cipher}:@SECLEVEL=0")
        # Only some begin in a round.
        self.clock.iterate()
        try:
            found = self.join(context).tls.cipher()
        except ssl.SSLError:
            return False
        return found is not None and found[0] == cipher


class ClientCertificateTests(RefusalTests):
    """Certificates of clients."""

    def setUp(self) -> None:
        """Demand them."""
        super().setUp()
        self.factory = self.demand()

    def join(self, context: ssl.SSLContext | None = None, size: int = BATCH) -> Pair:
        """Return a pair whose client has one."""
        if context is None:
            context = self.files.clientContext(*self.files.client)
        else:
            context.load_cert_chain(*self.files.client)
        return super().join(context, size)

    def test_names(self) -> None:
        """The names of the certificate are known when the protocol above begins."""
        transport = self.join().above.transport
        self.assertEqual(transport.peerNames, ("CN=Shop-1", "DNS:shop-1"))
        with open(self.files.client[0], encoding="ascii") as file:
            der = ssl.PEM_cert_to_DER_cert(file.read())
        self.assertEqual(transport.getPeerCertificate(), der)

    def test_resumed(self) -> None:
        """A session that goes on has the same names."""
        context = self.files.clientContext(*self.files.client)
        pair = self.join(context)
        pair.hear()
        again = Pair(self.factory, context, pair.tls.session)
        again.shake()
        self.assertTrue(again.tls.session_reused)
        self.assertEqual(again.above.transport.peerNames[0], "CN=Shop-1")

    def test_none(self) -> None:
        """A client without one is refused, where it is demanded."""
        pair = Pair(self.factory)
        self.assertEqual(self.refused(pair), "TLSV13_ALERT_CERTIFICATE_REQUIRED")
        why = "TLS failed: peer did not return a certificate"
        self.assertEqual(self.factory.failures, {why: 1})

    def test_optional(self) -> None:
        """Otherwise it has no names."""
        self.factory = self.demand("optional")
        pair = Pair(self.factory)
        pair.shake()
        transport = pair.above.transport
        self.assertEqual(transport.peerNames, ())
        self.assertIsNone(transport.getPeerCertificate())
        pair.lose()
        self.assertIsNone(transport.getPeerCertificate())

    def test_wrongAuthority(self) -> None:
        """One of another authority is refused, though it need not be there."""
        self.factory = self.demand("optional")
        other = Authority(self.files.folder, "other").issue("Shop-1")
        pair = Pair(self.factory, self.files.clientContext(*other))
        self.assertEqual(self.refused(pair), "TLSV1_ALERT_UNKNOWN_CA")
        self.assertIn("unable to get", self.lines[0])

    def test_expired(self) -> None:
        """One that is over is refused."""
        old = self.files.authority.issue("gone", -1)
        pair = Pair(self.factory, self.files.clientContext(*old))
        self.assertEqual(self.refused(pair), "SSLV3_ALERT_CERTIFICATE_EXPIRED")
        self.assertIn("TLS failed: certificate has expired", self.factory.failures)

    def test_namesOf(self) -> None:
        """Names of other kinds are left out."""
        certificate = {
            "subject": ((("organizationName", "x"),), (("commonName", "A"),)),
            "subjectAltName": (("IP Address", "::1"), ("DNS", "B.c")),
        }
        self.assertEqual(namesOf(certificate), ("CN=A", "DNS:b.c"))


class ContextTests(TLSTestCase):
    """Which context a connection has, and what it was asked."""

    def test_reload(self) -> None:
        """New connections have the new context, and old ones go on."""
        old = self.join()
        self.context = load(TLSSettings(*self.files.authority.issue("new"))).context
        new = Pair(self.factory)
        self.assertRaises(ssl.SSLError, new.shake)
        old.say(b"still")
        self.assertEqual(old.above.received, [b"still"])

    def test_alpn(self) -> None:
        """A protocol is chosen where both have one."""
        self.factory = self.serve(TLSSettings(*self.files.server), "http/1.1")
        context = self.files.clientContext()
        self.assertIsNone(self.join(context).above.transport.negotiatedProtocol)
        context.set_alpn_protocols(["h2", "http/1.1"])
        pair = self.join(context)
        self.assertEqual(pair.above.transport.negotiatedProtocol, b"http/1.1")

    def test_late(self) -> None:
        """A handshake that is not done in time is cut off, and logged."""
        pair = Pair(self.factory)
        pair.send(pair.hello())
        self.clock.pump([0.5] * int(2 * SECONDS))
        self.assertTrue(pair.beneath.disconnecting)
        self.assertRegex(self.lines[0], "its handshake takes too long")
        pair.lose()

    def test_lateAfterFailure(self) -> None:
        """A client that does not go when it is refused is cut off, without a line."""
        pair = Pair(self.factory)
        pair.send(b"plain")
        self.clock.pump([0.5] * int(2 * SECONDS))
        self.assertEqual(len(self.lines), 1)
        self.assertEqual(self.factory.handshakes.pending, {})

    def test_wait(self) -> None:
        """A handshake that has to wait is paused, and goes on when it is its turn."""
        pairs = [Pair(self.factory) for _ in range(9)]
        for pair in pairs:
            pair.send(pair.hello())
        last = pairs[-1]
        self.assertEqual(last.beneath.producerState, "paused")
        last.server.dataReceived(b"")
        self.clock.advance(0)
        self.assertEqual(last.beneath.producerState, "producing")
        last.take()
        last.shake()
        self.assertIsNotNone(last.above)

    def test_waitAndFail(self) -> None:
        """One that says too much meanwhile is closed, and does not begin."""
        for _ in range(9):
            last = Pair(self.factory)
            last.send(last.hello())
        last.send(bytes(3 * RECORD))
        self.assertTrue(last.beneath.disconnecting)
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(last.beneath.value(), b"")

    def test_shared(self) -> None:
        """Several listeners may share their bounds."""
        shared = Handshakes(self.clock)
        factory = TLSFactory(self.wrapped, lambda: self.context, self.clock, shared)
        self.assertIs(factory.handshakes, shared)

    def test_local(self) -> None:
        """A client without an address is a local one."""
        pair = self.join()
        self.patch(pair.beneath, "getPeer", lambda: None)
        self.assertEqual(pair.server.peer, "a local client")
