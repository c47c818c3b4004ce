"""The place of the server."""

from __future__ import annotations

import os
import socket

from twisted.trial.unittest import SynchronousTestCase

import memq.client.address
import memq.config.file
from memq.client.address import Address, addresses, connectTo, parseAddress
from memq.errors import CommandError, ConfigError
from memq.test.support.servers import scratch


class ParseTests(SynchronousTestCase):
    """Words that name a place."""

    def test_places(self) -> None:
        """Host and port, either alone, or the path of a socket."""
        for text, expected in (
            ("10.0.0.5:11211", Address("", "10.0.0.5", 11211)),
            ("[::1]:11211", Address("", "::1", 11211)),
            ("[::1]", Address("", "::1")),
            ("queues.internal", Address("", "queues.internal")),
            ("11211", Address("", "127.0.0.1", 11211)),
            (":11211", Address("", "127.0.0.1", 11211)),
            ("/run/sock", Address("/run/sock")),
            ("./sock", Address("./sock")),
            ("unix:sock", Address("sock")),
        ):
            self.assertEqual(parseAddress(text), expected, text)

    def test_wrong(self) -> None:
        """Anything else is refused."""
        for text in ("", "unix:", "a:b", "::1", "a:0", "a:65536", "a:1:2", "[a"):
            self.assertRaises(ValueError, parseAddress, text)

    def test_shown(self) -> None:
        """A place is shown as it can be said."""
        for text in ("10.0.0.5:11211", "[::1]:22201", "/run/sock"):
            self.assertEqual(str(parseAddress(text)), text)


class PlaceTests(SynchronousTestCase):
    """Places where to look."""

    def setUp(self) -> None:
        """Have a configuration file and a socket of our own, not there yet."""
        self.directory = scratch(self)
        self.config = os.path.join(self.directory, "memq.toml")
        self.socket = os.path.join(self.directory, "sock")
        self.patch(memq.config.file, "DEFAULT", self.config)
        self.patch(memq.client.address, "SOCKET", self.socket)

    def configure(self, text: str) -> list[str]:
        """Write the file, and return the places."""
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(f"[server]\n{text}\n")
        return [str(place) for place in addresses(None, {})]

    def test_order(self) -> None:
        """An option goes before the variable, that before the file."""
        self.configure("port = 1000")
        variables = {"MEMQ_SERVER": "b:2"}
        self.assertEqual(addresses("a:1", variables), [Address("", "a", 1)])
        self.assertEqual(addresses(None, variables), [Address("", "b", 2)])
        self.assertEqual(addresses(None, {})[0], Address("", "127.0.0.1", 1000))

    def test_usual(self) -> None:
        """Without any of these it is the usual socket, if it is there, and the port."""
        self.assertEqual(addresses(None, {}), [Address()])
        with open(self.socket, "w", encoding="utf-8"):
            pass
        self.assertEqual(addresses(None, {}), [Address(self.socket), Address()])

    def test_file(self) -> None:
        """The file's socket comes before its port; all addresses mean this machine."""
        usual = "127.0.0.1:22201"
        for text, expected in (
            ("", [usual]),
            ('socket = "/s"', ["/s", usual]),
            ('socket = "/s"\nport = 7', ["/s", "127.0.0.1:7", usual]),
            ('listen = "0.0.0.0"\nport = 7', ["127.0.0.1:7", usual]),
            ('listen = "::"', ["[::1]:22201", usual]),
            ('listen = "10.0.0.5"', ["10.0.0.5:22201", usual]),
        ):
            self.assertEqual(self.configure(text), expected)

    def test_tables(self) -> None:
        """So do listeners in tables, but for TLS, and for what only systemd knows."""
        tables = (
            '[[listen]]\naddress = "tcp:0"\n[[listen]]\nname = "a"\n'
            '[[listen]]\naddress = "unix:/s:mode=666"\n'
            '[[listen]]\naddress = "tcp:7"\n[[listen]]\naddress = "10.0.0.5:8"\n'
            '[[listen]]\naddress = "10.0.0.5:9"\ntls = true\n'
            '[tls]\ncertificate = "c"\nkey = "k"\n'
        )
        found = self.configure(tables)
        self.assertEqual(found, ["/s", "127.0.0.1:7", "10.0.0.5:8", "127.0.0.1:22201"])

    def test_secret(self) -> None:
        """A file that this user may not read is no matter."""
        self.patch(os, "access", lambda path, mode: False)
        self.assertEqual(self.configure("port = 7"), ["127.0.0.1:22201"])

    def test_mistakes(self) -> None:
        """A wrong word is told with the place where it stands."""
        error = self.assertRaises(CommandError, addresses, None, {"MEMQ_SERVER": "a:b"})
        self.assertEqual(
            str(error), "MEMQ_SERVER: 'a:b' is neither HOST:PORT nor a path"
        )
        self.assertEqual(error.status, 2)
        error = self.assertRaises(CommandError, addresses, "a:0", {})
        self.assertEqual(str(error), "--server: there is no port 0")
        self.assertRaises(ConfigError, self.configure, "port = x")


class ConnectTests(SynchronousTestCase):
    """Connections."""

    def test_connected(self) -> None:
        """The first place that accepts is the one, be it a socket or a port."""
        path = os.path.join(scratch(self), "sock")
        with (
            socket.socket(socket.AF_UNIX) as unix,
            socket.create_server(("127.0.0.1", 0)) as tcp,
        ):
            unix.bind(path)
            unix.listen()
            there = Address("", *tcp.getsockname())
            nowhere = Address(f"{path}.none")
            with connectTo([nowhere, Address(path), there]) as connection:
                self.assertEqual(connection.getpeername(), path)
            with connectTo([nowhere, there]) as connection:
                self.assertEqual(connection.getpeername(), tcp.getsockname())
                self.assertEqual(connection.gettimeout(), None)

    def test_none(self) -> None:
        """Where none accepts, each is told with the reason, once."""
        path = os.path.join(scratch(self), "sock")
        with socket.create_server(("127.0.0.1", 0)) as tcp:
            free = tcp.getsockname()[1]
        places = [Address(path), Address("", "127.0.0.1", free), Address(path)]
        error = self.assertRaises(CommandError, connectTo, places)
        self.assertEqual(
            str(error),
            f"no server: {path}: No such file or directory; "
            f"127.0.0.1:{free}: Connection refused",
        )
        self.assertEqual(error.status, 1)
