"""Real nodes over TLS: who they are is verified, and so is who asks."""

from __future__ import annotations

import os
import re

from bench.clusterfaults import Front
from memq.test.cluster.nodes import ClusterTestCase
from memq.test.support.certificates import Authority, files
from testkit.wire import sets


class TLSTests(ClusterTestCase):
    """A front end that asks nodes over TLS."""

    def secure(self, ca: str, password: str = "memq") -> Front:
        """Return one that believes an authority, and has its password in a file."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w", encoding="ascii", opener=_private) as file:
            file.write(f"{password}\n")
        ports = re.findall(r":(\d+)", self.nodes().url.partition("@")[2])
        places = ",".join(f"127.0.0.1:{int(port) + 5000}" for port in ports)
        url = f"amqps://memq@{places}/memq"
        options = "--rabbitmq-password-file", path, "--rabbitmq-ca", ca
        return Front(url, *options, "--store-timeout=2")

    def test_served(self) -> None:
        """Sets and gets go over TLS, by AMQP and by the management API."""
        front = self.secure(files().authority.path)
        front.start()
        self.addCleanup(front.stop)
        stored = front.talk(sets(b"tls", b"a", b"b" * 100_000) + b"quit\r\n")
        self.assertEqual(stored, b"STORED\r\n" * 2)
        self.assertEqual(front.take(b"tls"), [b"a", b"b" * 100_000])
        self.assertIn(b"DELETED", front.ask(b"delete tls"))

    def test_password(self) -> None:
        """A wrong password ends the start, in one line that has no password."""
        front = self.secure(files().authority.path, "sesame")
        front.launch()
        self.assertEqual(front.wait(), 78)
        [line] = [each for each in front.log if "#critical]" in each]
        self.assertIn("refuse user memq: its password is wrong", line)
        for words in "sesame", "Listening":
            self.assertNotIn(words, str(front.log))

    def test_authority(self) -> None:
        """Nodes that another authority has signed are not used: a start says why."""
        folder = os.path.abspath(self.mktemp())
        os.makedirs(folder)
        front = self.secure(Authority(folder, "other").path)
        front.launch()
        self.addCleanup(front.stop)
        line = front.waitForLine("Waiting for the cluster")
        self.assertIn("(TLS failed: unable to get local issuer certificate)", line)
        self.assertNotIn("Listening", str(front.log))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
