"""A real cluster for tests: three nodes, started by the first test, stopped at the end.

Ports and directory are its own, so that it may be beside others.  With a Debian in
MEMQ_CLUSTER_ROOT that has RabbitMQ 4, the nodes are of that, with Khepri; as root.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile
from contextlib import ExitStack
from functools import cache
from random import SystemRandom
from typing import TYPE_CHECKING

from twisted.trial.unittest import TestCase

from bench.clusterfaults import SCRIPTS, Front, Nodes
from memq.test.support.certificates import files

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Another Debian, made by tools/cluster-root; empty for this one.
ROOT = os.environ.get("MEMQ_CLUSTER_ROOT", "")
#: Why the tests are skipped; None when they can run.
SKIP = None if ROOT or SCRIPTS.is_dir() else "rabbitmq-server is not installed"
#: What ports are counted from: all are below those that systems give to clients.
BASES = range(1100, 12700, 4)


class ClusterTestCase(TestCase):
    """A test on a real cluster."""

    skip = SKIP
    #: Seconds.
    timeout = 600

    def nodes(self) -> Nodes:
        """Return the nodes, which listen."""
        return _started()

    def makeFront(self, *options: str) -> Front:
        """Return a front end that is not started."""
        return Front(self.nodes().url, *options)

    def front(self, *options: str) -> Front:
        """Return a front end that listens; it ends with the test."""
        front = self.makeFront(*options)
        front.start()
        self.addCleanup(front.stop)
        return front


@cache
def _started() -> Nodes:
    base = _freeBase()
    if ROOT:
        directory = os.path.join(ROOT, "srv", f"memq{base}")
        where = "--root", ROOT
    else:
        directory = tempfile.mkdtemp(prefix="memq-cluster-")
        where = "--directory", directory
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    _certify(os.path.join(directory, "tls"))
    start = ["--khepri"] if ROOT else []
    nodes = Nodes([*where, "--base", str(base)], start)
    atexit.register(nodes.stop)
    nodes.start()
    return nodes


def _certify(folder: str) -> None:
    """Put a certificate where nodes look for one, from the authority of the tests."""
    os.makedirs(folder)
    for name, path in zip(("certificate", "key"), files().server, strict=True):
        shutil.copyfile(path, os.path.join(folder, f"{name}.pem"))


def _freeBase() -> int:
    for base in SystemRandom().sample(BASES, len(BASES)):
        if all(_isFree(port) for port in _ports(base)):
            return base
    raise AssertionError("no ports are free")


def _ports(base: int) -> Iterator[int]:
    for above in range(0, 20001, 5000):
        yield from range(base + above, base + above + 4)


def _isFree(port: int) -> bool:
    with ExitStack() as stack:
        attempt = stack.enter_context(socket.socket())
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
