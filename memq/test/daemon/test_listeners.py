"""What is listened on, and what each listener asks of clients."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import Any, cast

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.logger import capturedLogs, formatEvent

from memq.access.admission import Admission
from memq.config.commandline import Options
from memq.daemon import listeners as module
from memq.daemon.listeners import ServedListener, takeServed
from memq.daemon.security import readSecurity
from memq.errors import StartError
from memq.net.activation import GivenListener
from memq.net.tls import TLSFactory
from memq.server.entrances import Entrance
from memq.test.daemon.test_security import TLS, USER, SecurityTestCase
from memq.test.support.certificates import files
from memq.test.support.harness import Harness

#: What a listener wants once there are users.
TCP = Admission(ways=frozenset({"password"}), whenUsers=True)
UNIX = Admission(ways=frozenset({"password", "peer"}), whenUsers=True)


class FakeListener:
    """A listener, and its port, that keeps what it serves."""

    def __init__(self, address: Any) -> None:
        self._address = address
        self.isClosed = False

    def listen(self, poller: Any, factory: Any) -> Deferred[Any]:
        """Keep it."""
        self.factory = factory
        return succeed(self)

    def getHost(self) -> Any:
        """Return the address."""
        return self._address

    def close(self) -> None:
        """Note it."""
        self.isClosed = True


class ListenersTestCase(SecurityTestCase):
    """Has what a server takes."""

    def setUp(self) -> None:
        """Have nothing from a service manager."""
        super().setUp()
        self.given: list[GivenListener] = []
        self.patch(module, "takeListeners", lambda environment: self.given)
        self.undo = ExitStack()
        self.addCleanup(self.undo.close)

    def take(self, *words: str) -> list[ServedListener]:
        """Return what a server with options listens on."""
        options = Options()
        options.parseOptions(["--config", self.config, *words])
        owner = os.geteuid(), os.getegid()
        security = readSecurity(options, self.clock, owner)
        return takeServed(options, self.clock, owner, security, self.undo)

    def asked(self, *words: str) -> list[Admission]:
        """Return what each listener of a server asks."""
        return [each.admission for each in self.take(*words)]

    def refused(self, *words: str) -> str:
        """Return why they are refused, without the file's path."""
        line = str(self.assertRaises(StartError, self.take, *words))
        return line.removeprefix(self.config)

    def give(self, family: int, address: Any, name: str) -> GivenListener:
        """Be a service manager that gives a socket."""
        made = socket.socket(family)
        made.bind(address)
        made.listen()
        found = GivenListener(made, name)
        self.given.append(found)
        return found


class TakeTests(ListenersTestCase):
    """Options, tables and sockets of the service manager."""

    def test_options(self) -> None:
        """Each option is a listener, that asks once there are users."""
        self.write("")
        port = "--port=0"
        self.assertEqual(self.asked(port), [TCP])
        path = os.path.join(self.directory, "s")
        found = self.asked(port, "--socket", path, "--endpoint=tcp:0")
        self.assertEqual(found, [TCP, UNIX, TCP])
        self.assertEqual(self.asked(f"--endpoint=unix:{path}"), [UNIX])

    def test_tables(self) -> None:
        """Each table is a listener, and then there is no other TCP by itself."""
        self.write(
            '[[listen]]\naddress = "tcp:0:interface=127.0.0.1"\n'
            f'[[listen]]\naddress = "unix:{self.directory}/s"\n'
            '[[listen]]\naddress = "127.0.0.1:0"\nuser = "a"\n'
            '[[listen]]\naddress = "tcp6:0:interface=localhost"\nauth = "none"\n'
            f'[[listen]]\naddress = "unix:{self.directory}/t:mode=6"\nauth = "peer"\n',
            USER.format("a", 1),
        )
        peer = Admission(ways=frozenset({"peer"}))
        expected = [TCP, UNIX, Admission("a"), Admission(), peer]
        self.assertEqual(self.asked(), expected)
        self.assertEqual(self.asked("--port=0"), [TCP, *expected])
        # Who says where to listen on the command line means that alone.
        self.assertEqual(self.asked("--endpoint=tcp:0"), [TCP])

    def test_certificates(self) -> None:
        """With TLS and an authority, a certificate is a way by itself."""
        table = '[[listen]]\naddress = "127.0.0.1:0"\ntls = true\n'
        self.write(table + TLS)
        self.assertEqual(self.asked(), [TCP])
        self.write(f'{table}{TLS}client-ca = "{files().authority.path}"\n')
        [found] = self.asked()
        self.assertEqual(found.ways, {"certificate", "password"})

    def test_refused(self) -> None:
        """An address that cannot be had is named with its line."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            for address, why in (
                (f"127.0.0.1:{port}", "in use by another program on 127.0.0.1"),
                ("192.0.2.7:0", "must be an address of this machine"),
                ("tcp:0:interface=a..b", "no such address: not a name"),
                ("unix:/proc/none", "cannot listen: No such file or directory"),
                ("tcpp:1", "must be a Twisted server endpoint string"),
            ):
                self.write(f'\n[[listen]]\naddress = "{address}"\n')
                start = f' line 2: address = "{address}": {why}'
                self.assertTrue(self.refused().startswith(start), self.refused())

    def test_given(self) -> None:
        """What is given takes the place of options, and has the table of its name."""
        self.write(
            '[[listen]]\nname = "a"\ntls = true\nauth = "none"\n'
            f'[[listen]]\naddress = "127.0.0.1:0"\nauth = "password"\n{TLS}'
        )
        self.give(socket.AF_INET, ("127.0.0.1", 0), "a")
        self.give(socket.AF_INET, ("127.0.0.1", 0), "b")
        self.give(socket.AF_UNIX, os.path.join(self.directory, "s"), "c")
        with capturedLogs() as events:
            found = self.asked("--port=7", "--endpoint=tcp:7")
        password = Admission(ways=frozenset({"password"}))
        self.assertEqual(found, [Admission(), TCP, UNIX, password])
        [line] = [str(formatEvent(event)) for event in events]
        self.assertIn("and not --port, --endpoint", line)
        self.undo.close()
        self.assertEqual([each.given.fileno() for each in self.given], [-1] * 3)
        self.given.clear()
        self.give(socket.AF_INET, ("127.0.0.1", 0), "a")
        self.assertEqual(self.asked(), [Admission(), password])

    def test_notGiven(self) -> None:
        """A table without an address needs a socket of its name."""
        self.write('\n[[listen]]\nname = "a"\n')
        why = ' line 2: name = "a": it has no address, and systemd has given no socket'
        self.assertIn(why, self.refused())

    def test_peer(self) -> None:
        """The user of a process is known of a UNIX socket only."""
        self.write('[[listen]]\nname = "a"\nauth = "peer"\n')
        self.give(socket.AF_INET, ("127.0.0.1", 0), "a")
        why = " line 1: auth: peer needs a UNIX socket, and a is none"
        self.assertEqual(self.refused(), why)


class ServedTests(SecurityTestCase):
    """A listener that listens."""

    def listen(self, address: Any, *words: Any, **more: Any) -> tuple[Any, list[str]]:
        """Listen; return the factory that is served, and what is logged."""
        fake = FakeListener(address)
        served = ServedListener(fake, isUNIX=False, **more)
        if words:
            (served.admission,) = words
        with capturedLogs() as events:
            done = served.listen(cast("Any", None), Harness().factory)
        self.assertIs(self.successResultOf(done), fake)
        served.close()
        self.assertTrue(fake.isClosed)
        return fake.factory, [str(formatEvent(event)) for event in events]

    def test_far(self) -> None:
        """It is warned of an address that others reach, and that asks nothing."""
        why = (
            " has neither authentication nor TLS: whoever reaches it can read, add and "
            "delete everything; see [[listen]] in memq.toml(5)"
        )
        for address, said in (
            (IPv4Address("TCP", "0.0.0.0", 7), "0.0.0.0:7"),
            (IPv6Address("TCP", "fe80::1%lo", 7), "[fe80::1%lo]:7"),
            (IPv4Address("TCP", "127.0.0.2", 7), ""),
            (IPv6Address("TCP", "::1", 7), ""),
            (UNIXAddress(b"/s"), ""),
        ):
            factory, lines = self.listen(address)
            self.assertIsInstance(factory, Entrance)
            self.assertEqual(lines, [said + why] if said else [])
        far = IPv4Address("TCP", "10.0.0.5", 7)
        self.assertEqual(self.listen(far, Admission("a"))[1], [])

    def test_nobody(self) -> None:
        """It is warned of a listener by which nobody can come in yet."""
        near = IPv4Address("TCP", "127.0.0.1", 7)
        _, lines = self.listen(near, Admission(ways=frozenset({"password"})))
        why = "Nobody can come in by 127.0.0.1:7: there are no users"
        self.assertEqual(lines, [why])

    def test_tls(self) -> None:
        """With TLS it is no matter who reaches it."""
        self.write(TLS + '[[listen]]\naddress = "tcp:0"\ntls = true\n')
        queues = self.read().queues
        far = IPv4Address("TCP", "10.0.0.5", 7)
        factory, lines = self.listen(far, encryption=queues)
        self.assertIsInstance(factory, TLSFactory)
        self.assertIsInstance(factory.wrapped, Entrance)
        self.assertEqual(lines, [])
