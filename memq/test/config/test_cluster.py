"""Where a cluster is, and which options go together."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.config.cluster import (
    Address,
    Place,
    conflict,
    meaningless,
    parseAddress,
    parseManagement,
)


class AddressTests(SynchronousTestCase):
    """What a URL says."""

    def test_whole(self) -> None:
        """A URL has nodes, a user with a password, and a virtual host."""
        self.assertEqual(
            Address(False, (Place("a", 1), Place("b.example", 65535)), "u", "p", "v"),
            parseAddress("amqp://u:p@a:1,b.example:65535/v"),
        )

    def test_defaults(self) -> None:
        """What is left out is what RabbitMQ has."""
        for end in ("", "/"):
            self.assertEqual(
                Address(False, (Place("a", 5672),), "guest", None, "/"),
                parseAddress(f"amqp://a{end}"),
            )
        self.assertEqual(
            Address(True, (Place("a", 5671),), "u", None, "v"),
            parseAddress("amqps://u@a/v"),
        )

    def test_escapes(self) -> None:
        """What a URL cannot have is escaped."""
        address = parseAddress("amqp://u%40x:p%3A%2F:@a/%2Fv")
        self.assertEqual(
            ("u@x", "p:/:", "/v"), (address.user, address.password, address.name)
        )

    def test_six(self) -> None:
        """An address of IPv6 stands in brackets."""
        [one, other] = parseAddress("amqp://[::1]:1,[fe80::2]").places
        self.assertEqual((Place("::1", 1), "[::1]:1"), (one, str(one)))
        self.assertEqual("[fe80::2]:5672", str(other))

    def test_wrong(self) -> None:
        """What is no URL is refused; no password is in what is said."""
        shape = "must be amqp://USER:PASSWORD@HOST:PORT,HOST:PORT/NAME"
        place = "must be HOST or HOST:PORT, with a port up to 65535"
        for url, words in {
            "http://a": shape,
            "amqp://": shape,
            "amqp://u:secret@a/v/w": shape,
            "amqp://u:secret@a?heartbeat=1": shape,
            "amqp://u:secret@a,": f": {place}",
            "amqp://u:secret@a:0": f"a:0: {place}",
            "amqp://a:65536": f"a:65536: {place}",
            "amqp://a b": f"a b: {place}",
            "amqp://a,b:1,a:5672": "must name each node once",
        }.items():
            error = self.assertRaises(ValueError, parseAddress, url)
            self.assertEqual(words, str(error))

    def test_shown(self) -> None:
        """An address is shown as it was written, but for the password."""
        for url, shown in {
            "amqp://u%40x:secret@a:1,[::1]/%2Fv": "amqp://u%40x@a:1,[::1]:5672/%2Fv",
            "amqps://a": "amqps://guest@a:5671/%2F",
        }.items():
            self.assertEqual(shown, str(parseAddress(url)))
        self.assertEqual(
            parseAddress("amqps://a,[::1]:5").management,
            ("https://a:15671", "https://[::1]:10005"),
        )
        self.assertEqual(parseAddress("amqp://a").management, ("http://a:15672",))


class ManagementTests(SynchronousTestCase):
    """Where the management API is."""

    def test_right(self) -> None:
        """It is on one node or more."""
        self.assertEqual(
            parseManagement("http://a:1/,https://[::1]:65535"),
            ("http://a:1", "https://[::1]:65535"),
        )

    def test_wrong(self) -> None:
        """What is no such URL is refused."""
        for text in (
            "",
            "a:1",
            "http://a",
            "http://a:0",
            "http://a:65536",
            "http://a:1,",
        ):
            self.assertRaises(ValueError, parseManagement, text)


class ConflictTests(SynchronousTestCase):
    """Options that go together."""

    def test_meaningless(self) -> None:
        """What is refused beside a kind of store is not told of it either."""
        for store, other in (("memory", "rabbitmq-ca"), ("rabbitmq", "home")):
            self.assertIn(other, meaningless(store))
            self.assertNotIn("store", meaningless(store))

    def told(self, **given: object) -> str | None:
        """Return what is wrong with options."""
        options = {
            "store": "bdb",
            "rabbitmq": None,
            "rabbitmq-password-file": None,
            "rabbitmq-ca": None,
            "max-body": 1,
        }
        found = {name.replace("_", "-"): value for name, value in given.items()}
        return conflict({**options, **found}, found.keys())

    def test_local(self) -> None:
        """Without a cluster, nothing may be said of one."""
        self.assertIsNone(self.told(store="memory", home="x"))
        self.assertEqual(
            self.told(accept_mnesia=True, store_timeout=5, home="x"),
            "--store-timeout, --accept-mnesia: only with --store rabbitmq",
        )

    def test_cluster(self) -> None:
        """Beside a cluster, nothing may be said of a store of this process."""
        plain, secret = parseAddress("amqp://u@a"), parseAddress("amqp://u:p@a")
        secure = parseAddress("amqps://u:p@a")
        ours = {"store": "rabbitmq", "rabbitmq": secret}
        for more, why in (
            ({}, None),
            ({"rabbitmq": plain, "rabbitmq_password_file": "f"}, None),
            ({"rabbitmq": secure, "rabbitmq_ca": "f"}, None),
            ({"max_body": 16 << 20}, None),
            (
                {"no_sync": True, "home": "x"},
                "--home, --no-sync: not with --store rabbitmq, which keeps nothing "
                "here",
            ),
            (
                {"rabbitmq": None},
                "--store rabbitmq: needs --rabbitmq amqp://USER@HOST,HOST,HOST/NAME",
            ),
            (
                {"rabbitmq": plain},
                "--rabbitmq: needs a password, best in a --rabbitmq-password-file",
            ),
            (
                {"rabbitmq_password_file": "f"},
                "--rabbitmq-password-file: there is a password in --rabbitmq",
            ),
            ({"rabbitmq_ca": "f"}, "--rabbitmq-ca: only with --rabbitmq amqps://..."),
            (
                {"max_body": (16 << 20) + 1},
                "--max-body: at most 16M with --store rabbitmq",
            ),
        ):
            self.assertEqual(self.told(**{**ours, **more}), why)
