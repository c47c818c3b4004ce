"""Prometheus and its tools: they read the metrics, the alerts and the dashboard.

Programs are unpacked by tools/unpack, into var/clients; Prometheus runs on loopback,
and nothing is waited for without a bound.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

from twisted.trial.unittest import SynchronousTestCase

from memq.admin.exportformat import Begin, Body, End, QueueBegin, QueueEnd, packLine
from memq.test.clients.client import PATIENCE
from memq.test.clients.test_monitors import UNPACKED
from memq.test.support.certificates import files
from memq.test.support.commandline import command
from memq.test.support.servers import started
from testkit.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testkit.servers import Server

PROMTOOL = os.path.join(UNPACKED, "usr/bin/promtool")
PROMETHEUS = os.path.join(UNPACKED, "usr/bin/prometheus")
CONTRIB = os.path.join(ROOT, "contrib")
RULES = os.path.join(CONTRIB, "prometheus")
#: Variables of the dashboard, with what they stand for here.
VARIABLES = {"$instance": ".*", "$queue": ".*", "$__rate_interval": "10s"}


def freePort() -> int:
    """Return a port that nobody has just now, for a program that cannot take any."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def fetched(url: str, **headers: str) -> bytes:
    """Return what an HTTP server says."""
    request = Request(url, headers={k.replace("_", "-"): v for k, v in headers.items()})
    with urlopen(request, timeout=PATIENCE) as reply:
        body: bytes = reply.read()
        return body


def expressions(board: dict[str, Any]) -> Iterator[str]:
    """Yield each expression of a dashboard, as Grafana would send it."""
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for variable, value in VARIABLES.items():
                expression = expression.replace(variable, value)
            yield expression


class PrometheusTestCase(SynchronousTestCase):
    """A server with a web, and with something of everything in it."""

    def setUp(self) -> None:
        """Start it."""
        certificate, key = files().server
        self.config = os.path.abspath(self.mktemp())
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(
                '[queue.limited]\nmax_items = 1\n[queue.held]\npaused = "reads"\n'
                f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n'
                '[[listen]]\naddress = "127.0.0.1:0"\n'
                '[[listen]]\naddress = "127.0.0.1:0"\ntls = true\n'
            )
        web = ("--web-listen=127.0.0.1:0", "--config", self.config)
        self.server = started(self, *web)
        self.web = self._web(self.server)
        for queue in (b'a"\\b', b"jobs", b"limited", b"held", b"\xff", b"\xe6\xad\xbb"):
            self.server.put(queue, b"x")
        self.server.ask(b"get jobs", b"db_checkpoint")

    def _web(self, server: Server) -> str:
        line = server.waitForLine("The web is on ")
        return f"http://{line.rpartition(' ')[2]}"


class PromtoolTests(PrometheusTestCase):
    """promtool."""

    def run_(self, *arguments: str, given: bytes = b"") -> str:
        """Return what it says, which is all of its output, when it is content."""
        ended = subprocess.run(
            [PROMTOOL, *arguments],
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=10 * PATIENCE,
            cwd=RULES,
            check=False,
        )
        self.assertEqual(ended.returncode, 0, ended.stdout.decode())
        return ended.stdout.decode()

    def test_metrics(self) -> None:
        """It has nothing to say against the metrics."""
        for path in ("/metrics", "/metrics/queues"):
            text = fetched(self.web + path)
            self.assertEqual(self.run_("check", "metrics", given=text), "")

    def test_rules(self) -> None:
        """It takes the rules, and each alert does what its test says."""
        self.run_("check", "config", "prometheus.yml")
        self.run_("test", "rules", "memq.rules.test.yml")
        alerts, tests = [
            re.findall(pattern, readFile(RULES, name))
            for pattern, name in (
                ("- alert: (.*)", "memq.rules.yml"),
                ("alertname: (.*)", "memq.rules.test.yml"),
            )
        ]
        self.assertEqual(set(alerts), set(tests))


def readFile(*path: str) -> str:
    """Return what a file says."""
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


class ScrapedTestCase(PrometheusTestCase):
    """Prometheus scrapes a server, and is asked something."""

    def start(self) -> str:
        """Start Prometheus on loopback; return its address.

        Its rules are those of contrib, but that nothing has to last.
        """
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        with open(os.path.join(directory, "rules.yml"), "w", encoding="utf-8") as file:
            file.write(
                re.sub(r"\bfor: \w+", "for: 0s", readFile(RULES, "memq.rules.yml"))
            )
        config = os.path.join(directory, "prometheus.yml")
        target = self.web.removeprefix("http://")
        with open(config, "w", encoding="utf-8") as file:
            file.write(
                "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
                "rule_files: [rules.yml]\n"
                "scrape_configs: [{job_name: memq, static_configs: "
                f"[{{targets: ['{target}']}}]}}]\n"
            )
        place = f"127.0.0.1:{freePort()}"
        process = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={config}",
                f"--storage.tsdb.path={directory}/data",
                f"--web.listen-address={place}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.kill)
        return f"http://{place}"

    def ask(self, address: str, expression: str) -> list[Any]:
        """Return what an expression has found."""
        url = f"{address}/api/v1/query?query={quote(expression)}"
        reply = json.loads(fetched(url))
        self.assertEqual(reply["status"], "success", expression)
        found: list[Any] = reply["data"]["result"]
        return found

    def waitFor(self, address: str, expression: str) -> None:
        """Ask until something is found."""
        end = monotonic() + PATIENCE
        while monotonic() < end:
            try:
                if self.ask(address, expression):
                    return
            except (URLError, ConnectionError):
                pass  # It does not listen yet.
            # It tells nobody when it has scraped.
            sleep(0.1)
        self.fail(f"{expression} finds nothing")


class DashboardTests(ScrapedTestCase):
    """What the dashboard asks."""

    def test_dashboard(self) -> None:
        """Each expression of the dashboard finds something, but those of a cluster."""
        address = self.start()
        self.waitFor(address, "count_over_time(memq_queues[1m]) > 3")
        with open(os.path.join(CONTRIB, "grafana", "memq.json")) as file:
            board = json.load(file)
        asked = [each for each in expressions(board) if "memq_cluster_" not in each]
        self.assertGreater(len(asked), 50)
        empty = [each for each in asked if not self.ask(address, each)]
        self.assertEqual(empty, [])
        told = set(re.findall(r"^(\w+?)(?:_bucket)?[{ ]", self.metrics(), re.M))
        shown = set(re.findall(r"(?:memq|process)_\w+", " ".join(asked)))
        self.assertEqual(told - {each.removesuffix("_bucket") for each in shown}, set())

    def metrics(self) -> str:
        """Return what is scraped, without its comments."""
        lines = fetched(f"{self.web}/metrics").decode().splitlines(True)
        return "".join(line for line in lines if not line.startswith("#"))


class AlertTests(ScrapedTestCase):
    """Alerts as an operator meets them."""

    def waitForAlert(self, address: str, alert: str, queue: str, isThere: bool) -> None:
        """Wait until an alert fires for a queue, or does not any more."""
        labels = f'alertname="{alert}",alertstate="firing",queue="{queue}"'
        expression = f"ALERTS{{{labels}}}"
        self.waitFor(address, expression if isThere else f"absent({expression})")

    def run_(self, *words: str, stdin: bytes = b"") -> bytes:
        """Return what a command of memq writes, which has to end well."""
        done = command(self.server, *words, stdin=stdin)
        self.assertEqual(done.status, 0, done.err)
        return done.out

    def test_stalled(self) -> None:
        """A queue that nobody takes from is told of, until somebody does."""
        place = f"127.0.0.1:{self.server.port}"
        # A message of long ago.
        lines = (
            Begin(),
            QueueBegin(b"old", 1, 0),
            Body(0, 1, b"x"),
            QueueEnd(1, 0),
            End(1),
        )
        text = b"".join([packLine(line) for line in lines])
        self.run_("import", "--server", place, stdin=text)
        address = self.start()
        self.waitForAlert(address, "MemqQueueStalled", "old", True)
        self.assertEqual(self.run_("pop", "old"), b"x")
        self.waitForAlert(address, "MemqQueueStalled", "old", False)

    def test_deadLetters(self) -> None:
        """So are dead letters, until they are redriven from the command line."""
        self.run_(
            "rules", "set", "orders", "max_deliveries=1", "dead_letter=orders.dead"
        )
        self.server.put(b"orders", b"one")
        self.server.ask(b"get orders/open", b"get orders/abort")
        address = self.start()
        self.waitForAlert(address, "MemqDeadLetters", "orders.dead", True)
        self.run_("redrive", "orders.dead")
        self.waitForAlert(address, "MemqDeadLetters", "orders.dead", False)
        self.assertEqual(self.run_("pop", "orders"), b"one")
