"""Run a RabbitMQ cluster on this machine: python3 tools/cluster.py --help.

Nodes of Debian's rabbitmq-server, each a process of its own, on 127.0.0.1 only.  All
that they write, their cookie included, is in one directory; what Debian's own service
has is neither read nor written.  ``start`` and ``stop`` are for everybody; the others
are faults, for those that test: each names its node, from 1.

Ports are counted from BASE: AMQP for node n is at BASE + n, the management API 10000
above that, what nodes say to each other 20000 above it, and their port mapper at
BASE + 20000.  User, password and virtual host are all ``memq``.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Where Debian has RabbitMQ's scripts, those in /usr/sbin change the user.
SCRIPTS = Path("/usr/lib/rabbitmq/bin")
#: Seconds until all nodes listen: 11 to 19 with 3.10.8 on two busy cores, 6 to 8 with
#: 4.0.5; and seconds until one has stopped in order.
START, STOP = 120.0, 30.0
#: What every node has in its configuration.
CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {web}
cluster_formation.peer_discovery_backend = classic_config
cluster_partition_handling = {partition}
# Seconds after which a node that stands still is out; the default is 60.
net_ticktime = 10
# A year.  The default of 30 minutes closes a channel with an open read too.
consumer_timeout = 31536000000
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 100MB
default_user = memq
default_pass = memq
default_user_tags.administrator = true
default_vhost = memq
default_permissions.configure = .*
default_permissions.read = .*
default_permissions.write = .*
log.console = false
log.file = node.log
log.file.level = info
"""


class Node:
    """One node: its directory, its process and its ports.

    :ivar name: as RabbitMQ writes it.
    """

    def __init__(self, directory: Path, number: int, base: int) -> None:
        """Name a node; nothing is started.

        :param number: from 1.
        :param base: what its ports are counted from.
        """
        self.number, self._base = number, base
        self.name = f"memq{number}@127.0.0.1"
        self.amqp, self.web = base + number, base + number + 10000
        self.home = directory / f"node{number}"
        self._shared = directory

    @property
    def variables(self) -> dict[str, str]:
        """The environment in which a node runs, and in which it is talked to."""
        home = str(self.home)
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            # The cookie lies there.
            "HOME": str(self._shared),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._base + 20000),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_USE_LONGNAME": "true",
            "RABBITMQ_DIST_PORT": str(self.amqp + 20000),
            "RABBITMQ_CONF_ENV_FILE": f"{home}/none",
            "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{home}/none",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{home}/generated",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/plugins",
            "RABBITMQ_MNESIA_BASE": f"{home}/data",
            "RABBITMQ_LOG_BASE": home,
            "RABBITMQ_PID_FILE": f"{home}/pid",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1}"
            ),
            # Without it nodes keep a core each busy while they have nothing to do.
            "RABBITMQ_SCHEDULER_BUSY_WAIT_THRESHOLD": "none",
        }

    @property
    def pid(self) -> int | None:
        """The id of the process, None if it does not run.

        It is looked for: the file that RabbitMQ writes goes before the process does.
        """
        mine = f"RABBITMQ_PID_FILE={self.home}/pid".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (process / "comm").read_bytes() == b"beam.smp\n":
                    variables = (process / "environ").read_bytes().split(b"\0")
                    if mine in variables:
                        return int(process.name)
        return None

    def start(self, partition: str, nodes: list[Node], more: list[str]) -> None:
        """Start the process, if it does not run; it listens some seconds later."""
        if self.pid is not None:
            return
        self.home.mkdir(parents=True, exist_ok=True)
        lines = CONFIGURATION.format(
            amqp=self.amqp, web=self.web, partition=partition
        ) + "".join(
            f"cluster_formation.classic_config.nodes.{each.number} = {each.name}\n"
            for each in nodes
        )
        lines += "".join(f"{each.format(number=self.number)}\n" for each in more)
        (self.home / "rabbitmq.conf").write_text(lines, encoding="ascii")
        (self.home / "plugins").write_text("[rabbitmq_management].\n", encoding="ascii")
        with (self.home / "output").open("ab") as output:
            subprocess.Popen(
                [SCRIPTS / "rabbitmq-server"],
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def listens(self) -> bool:
        """Return whether it takes AMQP connections and web requests."""
        for port in (self.amqp, self.web):
            with socket.socket() as attempt:
                attempt.settimeout(1.0)
                if attempt.connect_ex(("127.0.0.1", port)):
                    return False
        return True

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to the process, if it runs; say whether."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, number)
        return pid is not None

    def ctl(self, *words: str) -> int:
        """Run rabbitmqctl on this node, and return its status."""
        command = [str(SCRIPTS / "rabbitmqctl"), "-q", "-n", self.name, *words]
        return subprocess.run(command, env=self.variables, check=False).returncode


class Cluster:
    """All nodes."""

    def __init__(self, directory: Path, size: int, base: int) -> None:
        """Name them; nothing is started."""
        self._directory = directory
        self.nodes = [Node(directory, 1 + each, base) for each in range(size)]

    def start(self, partition: str, more: list[str]) -> None:
        """Start those that do not run, and wait until all listen.

        :raises SystemExit: if RabbitMQ is missing, or one does not listen in time.
        """
        if not SCRIPTS.is_dir():
            sys.exit(f"cluster: no {SCRIPTS}: install Debian's rabbitmq-server")
        self._directory.mkdir(parents=True, exist_ok=True)
        cookie = self._directory / ".erlang.cookie"
        if not cookie.exists():
            cookie.touch(mode=0o600)
            cookie.write_text(secrets.token_hex(20), encoding="ascii")
            cookie.chmod(0o400)
        for node in self.nodes:
            node.start(partition, self.nodes, more)
        end = time.monotonic() + START
        for node in self.nodes:
            while not node.listens():
                if time.monotonic() > end:
                    sys.exit(f"cluster: {node.name} does not listen; see {node.home}")
                time.sleep(0.2)

    def stop(self) -> None:
        """Stop all in order, then their port mapper; kill what does not stop."""
        for node in self.nodes:
            node.signal(signal.SIGCONT)
            node.signal(signal.SIGTERM)
        end = time.monotonic() + STOP
        for node in self.nodes:
            while node.pid is not None:
                if time.monotonic() > end:
                    node.signal(signal.SIGKILL)
                time.sleep(0.1)
        with suppress(FileNotFoundError):
            subprocess.run(
                ["epmd", "-kill"],
                env=self.nodes[0].variables,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )

    @property
    def url(self) -> str:
        """Where clients find it."""
        places = ",".join(f"127.0.0.1:{node.amqp}" for node in self.nodes)
        return f"amqp://memq:memq@{places}/memq"

    def tell(self) -> None:
        """Print each node's ports, and whether it runs."""
        for node in self.nodes:
            state = f"process {node.pid}" if node.pid is not None else "stopped"
            print(f"{node.name}: AMQP {node.amqp}, management {node.web}, {state}")
        print(self.url)


def main() -> int:
    """Do what the command line says, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--directory", type=Path, default=ROOT / "var" / "cluster")
    add("--nodes", type=int, default=3, help="how many: 3")
    add("--base", type=int, default=5680, help="what ports are counted from: 5680")
    add("--partition", default="autoheal", help="cluster_partition_handling: autoheal")
    add(
        "--set",
        action="append",
        default=[],
        help="a line more for the configuration; {number} is the node's",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, help_ in {
        "start": "start those that do not run, and wait until they listen",
        "stop": "stop all of them",
        "status": "say what runs",
    }.items():
        commands.add_parser(name, help=help_)
    for name, help_ in {
        "kill": "kill -9 a node",
        "freeze": "let a node stand still",
        "thaw": "let it go on",
        "ctl": "rabbitmqctl on a node",
    }.items():
        one = commands.add_parser(name, help=help_)
        one.add_argument("node", type=int)
        one.add_argument("words", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    cluster = Cluster(options.directory.resolve(), options.nodes, options.base)
    if options.command == "start":
        cluster.start(options.partition, options.set)
    elif options.command == "stop":
        cluster.stop()
    elif options.command != "status":
        return fault(cluster.nodes[options.node - 1], options.command, options.words)
    cluster.tell()
    return 0


def fault(node: Node, command: str, words: list[str]) -> int:
    """Do to a node what a command says, and return the exit status."""
    if command == "ctl":
        return node.ctl(*words)
    signals = {
        "kill": signal.SIGKILL,
        "freeze": signal.SIGSTOP,
        "thaw": signal.SIGCONT,
    }
    if not node.signal(signals[command]):
        sys.exit(f"cluster: {node.name} does not run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
