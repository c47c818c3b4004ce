"""Programs that watch memcached, and watch queues as well.

A program without a package that can be installed without a server is unpacked by
tools/unpack, into var/clients.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from functools import partial
from time import monotonic
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from memq.test.clients.client import PATIENCE
from memq.test.support.servers import started
from testkit.servers import ROOT, outputOf

UNPACKED = os.path.join(ROOT, "var", "clients")
TOOL = os.path.join(UNPACKED, "usr/share/memcached/scripts/memcached-tool")
PLUGIN = os.path.join(UNPACKED, "usr/share/munin/plugins/memcached_")
COLLECTD = os.path.join(UNPACKED, "usr/sbin/collectd")


class MonitorTestCase(SynchronousTestCase):
    """A server with two messages, out of three, of 4 bytes each."""

    def setUp(self) -> None:
        """Start it, set and get."""
        self.server = started(self)
        self.server.put(b"work", *[b"abcd"] * 3)
        self.server.ask(b"get work", b"get none")
        self.place = f"127.0.0.1:{self.server.port}"


class MemcachedToolTests(MonitorTestCase):
    """The script memcached-tool."""

    def tool(self, mode: str) -> str:
        """Return what it prints in a mode."""
        return outputOf("perl", TOOL, self.place, mode)

    def figures(self, mode: str) -> dict[str, str]:
        """Return the lines of two words that it prints."""
        lines = map(str.split, self.tool(mode).splitlines())
        return {words[0]: words[1] for words in lines if len(words) == 2}

    def test_stats(self) -> None:
        """It shows figures that are right for queues."""
        found = self.figures("stats")
        names = ("curr_items", "total_items", "bytes", "cmd_get", "cmd_set")
        self.assertEqual([found[name] for name in names], ["2", "3", "8", "2", "3"])
        self.assertEqual(found["queue_work_items"], "2")

    def test_settings(self) -> None:
        """It shows the settings."""
        found = self.figures("settings")
        self.assertEqual([found["maxconns"], found["tcpport"]], ["1024", "0"])

    def test_nothing(self) -> None:
        """It shows no items in memory, does not hang, and takes no message."""
        for mode in ("display", "sizes", "dump", "keys"):
            self.assertNotIn("work", self.tool(mode), mode)
        self.assertEqual(self.figures("stats")["curr_items"], "2")


class MemcstatTests(MonitorTestCase):
    """libmemcached's memcstat."""

    def test_stats(self) -> None:
        """It shows figures that are right for queues, and those of each."""
        told = outputOf("memcstat", f"--servers={self.place}")
        found = dict(re.findall(r"^\t(\S+): (.*)$", told, re.MULTILINE))
        names = ("curr_items", "bytes", "get_misses", "queue_work_total_items")
        self.assertEqual([found[name] for name in names], ["2", "8", "1", "3"])

    def test_topics(self) -> None:
        """It ends well where there is nothing to show."""
        for topic in ("items", "slabs", "sizes"):
            self.assertNotIn(
                "work", outputOf("memcstat", f"--servers={self.place}", topic)
            )


class MuninTests(MonitorTestCase):
    """Munin's plugin memcached_, which asks by Cache::Memcached."""

    #: The figures that each graph is made of, as far as they are known here.
    graphs: ClassVar[dict[str, dict[str, str]]] = {
        "bytes": {},
        "counters": {"curr_items": "2", "bytes_allocated": "8"},
        "rates": {
            "cmd_get": "2",
            "cmd_set": "3",
            "cache_misses": "1",
            "total_items": "3",
        },
    }

    def test_graphs(self) -> None:
        """Every line of every graph has a value, and that is right for queues."""
        directory = self.mktemp()
        os.mkdir(directory)
        for graph, known in self.graphs.items():
            path = os.path.join(directory, f"memcached_{graph}")
            os.symlink(PLUGIN, path)
            told = outputOf("perl", path, host="127.0.0.1", port=str(self.server.port))
            found = dict(re.findall(r"^\w*?memcache_(\w+)\.value (.*)$", told, re.M))
            self.assertTrue(found, told)
            for name, value in found.items():
                self.assertRegex(value, r"\A\d+\Z", name)
            self.assertEqual({name: found[name] for name in known}, known)


class CollectdTests(MonitorTestCase):
    """collectd's plugin memcached, whose values are written as CSV."""

    #: Files that it writes, and a value in each.
    values: ClassVar[dict[str, str]] = {
        "memcached_items-current": "2",
        "memcached_command-get": "2",
        "memcached_command-set": "3",
        "memcached_command-flush": "0",
        "memcached_ops-hits": "1",
        "memcached_ops-misses": "1",
        "df-cache": "8",
    }

    def setUp(self) -> None:
        """Write a configuration."""
        super().setUp()
        self.directory = os.path.abspath(self.mktemp())
        os.mkdir(self.directory)
        self.config = os.path.join(self.directory, "collectd.conf")
        with open(self.config, "w", encoding="ascii") as file:
            file.write(
                f'Hostname "here"\n'
                f"Interval 0.2\n"
                f'BaseDir "{self.directory}"\n'
                f'PIDFile "{self.directory}/pid"\n'
                f'PluginDir "{UNPACKED}/usr/lib/collectd"\n'
                f'TypesDB "{UNPACKED}/usr/share/collectd/types.db"\n'
                f"LoadPlugin csv\nLoadPlugin memcached\n"
                f'<Plugin csv>\n DataDir "{self.directory}/csv"\n</Plugin>\n'
                f'<Plugin memcached>\n <Instance "memq">\n Address "127.0.0.1"\n'
                f' Port "{self.server.port}"\n </Instance>\n</Plugin>\n'
            )

    def found(self) -> dict[str, str]:
        """Return the last value of each file that there is, the first one of a row."""
        found = {}
        for directory, _, names in os.walk(os.path.join(self.directory, "csv")):
            for name in names:
                with open(os.path.join(directory, name), encoding="ascii") as file:
                    last = file.read().splitlines()[-1:]
                for line in last:
                    value = line.split(",")[1]
                    found[name[: -len("-2000-01-01")]] = value.partition(".")[0]
        return found

    def test_values(self) -> None:
        """It finds items, commands and the ratio of hits."""
        with open(os.path.join(self.directory, "log"), "w", encoding="utf-8") as log:
            collectd = subprocess.Popen(
                [COLLECTD, "-f", "-C", self.config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.addCleanup(partial(collectd.wait, PATIENCE))
        self.addCleanup(collectd.terminate)
        limit = monotonic() + PATIENCE
        while not self.values.items() <= self.found().items():
            # There is no other sign than its files.
            with contextlib.suppress(subprocess.TimeoutExpired):
                collectd.wait(0.05)
            if monotonic() > limit or collectd.returncode is not None:
                with open(log.name, encoding="utf-8") as file:
                    self.fail(f"{self.found()}\n{file.read()}")
