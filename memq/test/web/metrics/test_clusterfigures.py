"""A front end tells of its cluster, and leaves out what no cluster tells."""

from __future__ import annotations

import json
import re
from typing import Any

from prometheus_client.parser import text_string_to_metric_families as parseText
from twisted.internet.defer import Deferred, fail

from memq.broker.broker import Broker
from memq.figures import ClusterState, LinkState, Outcome
from memq.rabbitmq.errors import Untold
from memq.rabbitmq.figures.told import LACKS
from memq.test.pages.pages import readPage
from memq.test.web.base import WebTestCase

STATE = ClusterState(
    [
        LinkState("gets", "a:1", False, 2),
        LinkState("gets", "a:1", False, 0),
        LinkState("gets", None, False, 3),
        LinkState("sets", "b:1", True, 0),
    ],
    *(3, 2, "4.0.5", 7),
    {"unsure": 4, "blocked": 0},
    *(5, 1, 1.5e9),
)


class FrontWebTestCase(WebTestCase):
    """Has the web of a server that says that a cluster keeps its queues."""

    state = STATE

    def setUp(self) -> None:
        """Let it say so."""
        self.patch(Broker, "lacks", LACKS)
        self.patch(Broker, "cluster", lambda _: self.state)
        self.patch(Broker, "outcomes", lambda _: {Outcome.ABORTED: 1})
        super().setUp()

    def untell(self) -> None:
        """Let nobody tell of the queues."""
        surveyor: Any = self.web._surveyor
        self.patch(surveyor, "look", lambda _: fail(Untold("nobody")))


class MetricsTests(FrontWebTestCase):
    """What is scraped."""

    def test_told(self) -> None:
        """Connections are told by purpose and node, failures by their reasons."""
        self.checkSamples(
            {
                'memq_cluster_connections{purpose="gets",node="a:1"}': "2",
                'memq_cluster_connections{purpose="sets",node="b:1"}': "1",
                'memq_cluster_connections_missing{purpose="gets"}': "1",
                'memq_cluster_connections_missing{purpose="sets"}': "0",
                'memq_cluster_connections_lost_total{purpose="gets"}': "5",
                "memq_cluster_blocked": "1",
                "memq_cluster_nodes": "3",
                "memq_cluster_nodes_running": "2",
                "memq_cluster_sets_unconfirmed": "7",
                'memq_cluster_sets_failed_total{reason="unsure"}': "4",
                "memq_cluster_gets_failed_total": "5",
                "memq_cluster_queues_without_leader": "1",
            }
        )

    def test_untold(self) -> None:
        """What no cluster has is left out, and is not 0."""
        self.push(b"q", b"x")
        found = " ".join(self.samples())
        lacking = "disk", "store", "delayed", "oldest", "sync_", "damaged", "expired"
        for name in lacking:
            self.assertNotIn(name, found)
        self.assertNotIn("dead_lettered", found)
        self.assertIn('memq_queue_messages{queue="q"}', found)

    def test_nobody(self) -> None:
        """Where nobody tells of the queues, the rest is told; of queues, why not."""
        self.untell()
        found = self.samples()
        self.assertEqual(found["memq_cluster_nodes"], "3")
        self.assertNotIn("memq_queues", found)
        reply = self.ask("/metrics/queues")
        self.assertEqual(reply.code, 503)
        self.assertIn("nobody", reply.text)

    def test_gone(self) -> None:
        """A scraper that is gone is told nothing."""
        waiting: Any = []
        surveyor: Any = self.web._surveyor
        self.patch(surveyor, "look", lambda _: waiting.append(Deferred()) or waiting[0])
        visitor = self.visitor()
        visitor.request("/metrics")
        self.harness.settle()
        visitor.leave()
        waiting[0].errback(Untold("nobody"))
        self.assertEqual(visitor.transport.value(), b"")

    def test_table(self) -> None:
        """docs/cluster.md has a row for each of them, with its labels."""
        _, _, page = readPage("docs/cluster.md").partition("| metric |")
        table, _, _ = page.partition("\n\n")
        rows = re.findall("^\\| ([^|]*) \\|", table, re.M)
        listed = [
            pair for row in rows for pair in re.findall(r"`(\w+)(?:{([^}]*)})?`", row)
        ]
        named = {name: set(filter(None, keys.split(","))) for name, keys in listed}
        found = {}
        for metric in parseText(self.ask("/metrics").text):
            if metric.name.startswith("memq_cluster_"):
                suffix = "_total" if metric.type == "counter" else ""
                keys = {key for sample in metric.samples for key in sample.labels}
                found[metric.name + suffix] = keys
        self.assertEqual(named, found)


class ServerTests(FrontWebTestCase):
    """What the API tells."""

    def test_server(self) -> None:
        """It tells of the cluster, and null of a disk."""
        told = json.loads(self.ask("/api/v1/server").body)
        self.assertIsNone(told["disk"])
        self.assertIsNone(told["delayed"])
        self.assertEqual(told["queues"], 0)
        self.assertNotIn("disk_full", told["refusedWhy"])
        cluster = told["cluster"]
        self.assertEqual((cluster["running"], cluster["nodes"]), (2, 3))
        self.assertEqual(cluster["at"], ["a:1", "b:1"])
        gets, _ = cluster["connections"]
        expected = {"purpose": "gets", "connected": 2, "missing": 1, "lost": 5}
        self.assertEqual(gets, expected)
        self.assertTrue(cluster["blocked"])

    def test_queue(self) -> None:
        """Figures of a queue that no cluster tells are null."""
        self.push(b"q", b"x")
        told = json.loads(self.ask("/api/v1/queues/q").body)
        nulls = {"in", "out", "limit", "deadLetter"}
        nulls |= {"oldest", "delayed", "expired", "discarded", "lastUsed"}
        self.assertEqual({name for name in told if told[name] is None}, nulls)
        self.assertEqual(told["messages"], 1)
