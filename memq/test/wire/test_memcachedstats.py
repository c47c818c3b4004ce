"""What memcached's tools read."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.test.config.test_commandline import parsed
from memq.wire.memcachedstats import figures, settings


class SettingsTests(SynchronousTestCase):
    """The settings."""

    def test_options(self) -> None:
        """They are made of the options."""
        told = dict(settings(parsed("-p", "5", "-c", "7", "--idle-timeout", "1.5")))
        names = ("maxconns", "tcpport", "inter", "domain_socket", "idle_timeout")
        self.assertEqual(
            [told[name] for name in names], ["7", "5", "127.0.0.1", "NULL", "1.5"]
        )
        self.assertEqual(told["flush_enabled"], "no")

    def test_others(self) -> None:
        """So they are when other ones are given."""
        told = dict(settings(parsed("--socket", "/s", "--enable-flush-all", "-v")))
        names = ("domain_socket", "flush_enabled", "verbosity", "item_size_max")
        self.assertEqual([told[name] for name in names], ["/s", "yes", "1", "1048576"])

    def test_names(self) -> None:
        """None is that of an option, and each is there once."""
        names = [name for name, _ in settings(parsed())]
        self.assertEqual(len(set(names)), len(names))
        own = {name for name, _ in parsed().settings()}
        self.assertEqual(own & set(names), set())


class FiguresTests(SynchronousTestCase):
    """The figures."""

    def test_known(self) -> None:
        """What is known comes first; what never happens is 0."""
        told = list(figures({"bytes": 5}))
        self.assertEqual(told[:2], [("bytes", 5), ("accepting_conns", 1)])
        self.assertEqual({value for _, value in told[2:]}, {0})
