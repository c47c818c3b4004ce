"""Run a RabbitMQ cluster on this machine: python3 tools/cluster.py --help.

Nodes of Debian's rabbitmq-server, each a process of its own, on 127.0.0.1 only.  All
that they write, their cookie included, is in one directory; what Debian's own service
has is neither read nor written.  ``start`` and ``stop`` are for everybody; the others
are faults, for those that test: each names its node, from 1.

Ports are counted from BASE: AMQP for node n is at BASE + n, the management API 10000
above that, what nodes say to each other 20000 above it, and their port mapper at
BASE + 20000.  User, password and virtual host are all ``memq``.  With certificate.pem
and key.pem in DIRECTORY/tls before a start, nodes have TLS as well, 5000 above AMQP and
the management API.

Two options need root.  ``--root DIR``: the nodes are those of a Debian in DIR, made by
tools/cluster-root; their data is there, too, below /srv.  ``--net NAME``: each node has
a network of its own, NAME1 and so on, joined by a bridge on this machine; there ``cut``
takes a node off the network, and ``part`` off the other nodes' alone.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shlex
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
listeners.tcp.1 = {host}:{amqp}
management.tcp.ip = {host}
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
#: The same of those that have TLS.
SECURE = """\
listeners.ssl.1 = {host}:{amqps}
ssl_options.certfile = {tls}/certificate.pem
ssl_options.keyfile = {tls}/key.pem
management.ssl.ip = {host}
management.ssl.port = {https}
management.ssl.certfile = {tls}/certificate.pem
management.ssl.keyfile = {tls}/key.pem
"""
#: What the ports of TLS are above the others.
ABOVE = 5000


#: Runs a command in another root, which has /proc meanwhile.
IN_ROOT = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'


def ip(words: str, isNeeded: bool = True) -> None:
    """Change networks, in words of that command.

    :param isNeeded: whether it is an error if it fails.
    """
    output = None if isNeeded else subprocess.DEVNULL
    subprocess.run(["ip", *shlex.split(words)], check=isNeeded, stderr=output)


class Network:
    """Networks of nodes, one each, and a bridge on this machine that joins them.

    :ivar name: what their names begin with.
    """

    def __init__(self, name: str, base: int) -> None:
        """Name them; nothing is made.

        :param base: addresses are by it, so that clusters can be beside each other.
        """
        self.name, self._bridge = name, f"{name}-br"
        self._subnet = f"10.88.{base % 251}"

    def host(self, number: int) -> str:
        """Return the address of a node."""
        return f"{self._subnet}.{number}"

    def make(self, numbers: list[int]) -> None:
        """Make what is missing."""
        if not Path(f"/sys/class/net/{self._bridge}").exists():
            ip(f"link add {self._bridge} type bridge")
            ip(f"addr add {self._subnet}.254/24 dev {self._bridge}")
            ip(f"link set {self._bridge} up")
        for number in numbers:
            one = f"{self.name}{number}"
            if not Path(f"/run/netns/{one}").exists():
                ip(f"netns add {one}")
                ip(f"link add {one}v type veth peer name eth0 netns {one}")
                ip(f"link set {one}v master {self._bridge} up")
                ip(f"-n {one} link set lo up")
                ip(f"-n {one} addr add {self.host(number)}/24 dev eth0")
                ip(f"-n {one} link set eth0 up")

    def remove(self, numbers: list[int]) -> None:
        """Remove all."""
        for number in numbers:
            ip(f"netns del {self.name}{number}", isNeeded=False)
        ip(f"link del {self._bridge}", isNeeded=False)

    def cut(self, number: int, isCut: bool) -> None:
        """Take a node off the network, or put it on again."""
        ip(f"link set {self.name}{number}v {'down' if isCut else 'up'}")

    def part(self, number: int, others: list[int], isParted: bool) -> None:
        """Take a node off those of others alone, or put it on again."""
        word = "add" if isParted else "del"
        for other in others:
            for here, there in ((number, other), (other, number)):
                ip(f"-n {self.name}{here} route {word} blackhole {self.host(there)}/32")


class Node:
    """One node: its directory, its process and its ports.

    :ivar name: as RabbitMQ writes it.
    :ivar host: its address.
    :ivar home: its directory, as this machine sees it.
    """

    def __init__(
        self,
        directory: Path,
        number: int,
        base: int,
        root: Path | None = None,
        network: Network | None = None,
    ) -> None:
        """Name a node; nothing is started.

        :param directory: of all nodes; within ``root``, if there is one.
        :param number: from 1.
        :param base: what its ports are counted from.
        :param root: another Debian that it is of.
        """
        self.number, self._base = number, base
        self._root, self._network = root, network
        self.host = network.host(number) if network else "127.0.0.1"
        self.name = f"memq{number}@{self.host}"
        self.amqp, self.web = base + number, base + number + 10000
        self.home = directory / f"node{number}"
        self._process: subprocess.Popen[bytes] | None = None
        #: The directory of all, as the node sees it.
        self._shared = Path("/", directory.relative_to(root)) if root else directory

    @property
    def variables(self) -> dict[str, str]:
        """The environment in which a node runs, and in which it is talked to."""
        home = str(self._shared / self.home.name)
        address = self.host.replace(".", ",")
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            # The cookie lies there.
            "HOME": str(self._shared),
            "ERL_EPMD_ADDRESS": self.host,
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
                f"-kernel inet_dist_use_interface {{{address}}} "
                # What is delayed goes on 10 s after a leader's death, not 180.
                "-rabbit dead_letter_worker_publisher_confirm_timeout 10000"
            ),
            # Without it nodes keep a core each busy while they have nothing to do.
            "RABBITMQ_SCHEDULER_BUSY_WAIT_THRESHOLD": "none",
        }

    def command(self, program: str, *words: str) -> list[str]:
        """Return a command of this node's, in its root and its network."""
        command = [program, *words]
        if self._root is not None:
            inside = ["unshare", "--mount", "sh", "-c", IN_ROOT, str(self._root)]
            command = inside + command
        if self._network is not None:
            space = f"{self._network.name}{self.number}"
            command = ["ip", "netns", "exec", space, *command]
        return command

    @property
    def pid(self) -> int | None:
        """The id of the process, None if it does not run.

        It is looked for: the file that RabbitMQ writes goes before the process does.
        """
        mine = f"RABBITMQ_PID_FILE={self.variables['RABBITMQ_PID_FILE']}".encode()
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
            host=self.host, amqp=self.amqp, web=self.web, partition=partition
        ) + "".join(
            f"cluster_formation.classic_config.nodes.{each.number} = {each.name}\n"
            for each in nodes
        )
        if (self.home.parent / "tls").is_dir():
            lines += SECURE.format(
                host=self.host,
                amqps=self.amqp + ABOVE,
                https=self.web + ABOVE,
                tls=self._shared / "tls",
            )
        lines += "".join(f"{each.format(number=self.number)}\n" for each in more)
        (self.home / "rabbitmq.conf").write_text(lines, encoding="ascii")
        (self.home / "plugins").write_text("[rabbitmq_management].\n", encoding="ascii")
        with (self.home / "output").open("ab") as output:
            self._process = subprocess.Popen(
                self.command(f"{SCRIPTS}/rabbitmq-server"),
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def hasFailed(self) -> bool:
        """Whether it was started here, and has ended."""
        return self._process is not None and self._process.poll() is not None

    def listens(self) -> bool:
        """Return whether it takes AMQP connections and web requests."""
        for port in (self.amqp, self.web):
            with socket.socket() as attempt:
                attempt.settimeout(1.0)
                if attempt.connect_ex((self.host, port)):
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
        command = self.command(f"{SCRIPTS}/rabbitmqctl", "-q", "-n", self.name, *words)
        return subprocess.run(command, env=self.variables, check=False).returncode


class Cluster:
    """All nodes.

    :ivar network: theirs, if they have one.
    """

    def __init__(
        self,
        directory: Path | None,
        size: int,
        base: int,
        root: Path | None = None,
        net: str = "",
    ) -> None:
        """Name them; nothing is started.

        :param directory: for what they write; None for the usual one.
        """
        if root is not None:
            directory = root / "srv" / f"memq{base}"
        self._root, self._directory = root, directory or ROOT / "var" / "cluster"
        self.network = Network(net, base) if net else None
        numbers = range(1, 1 + size)
        self.nodes = [
            Node(self._directory, each, base, root, self.network) for each in numbers
        ]

    @property
    def _numbers(self) -> list[int]:
        return [each.number for each in self.nodes]

    def start(self, partition: str, more: list[str], isKhepri: bool = False) -> None:
        """Start those that do not run, and wait until all listen.

        :param isKhepri: whether they are to keep their metadata by consensus.
        :raises SystemExit: if RabbitMQ is missing, or one does not listen in time.
        """
        scripts = (self._root or Path("/")) / SCRIPTS.relative_to("/")
        if not scripts.is_dir():
            sys.exit(f"cluster: no {scripts}: install Debian's rabbitmq-server")
        if self.network is not None:
            self.network.make(self._numbers)
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
                if node.hasFailed:
                    # A node that was killed may be in its way for a moment.
                    node.start(partition, self.nodes, more)
        done = self._directory / "khepri"
        if isKhepri and not done.exists():
            # 4.0 calls it experimental still.
            words = "enable_feature_flag", "--experimental", "khepri_db"
            if self.nodes[0].ctl(*words):
                sys.exit("cluster: these nodes cannot have khepri_db")
            done.touch()

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
        for node in self.nodes if self.network is not None else self.nodes[:1]:
            with suppress(FileNotFoundError):
                subprocess.run(
                    node.command("epmd", "-kill"),
                    env=node.variables,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    check=False,
                )
        if self.network is not None:
            self.network.remove(self._numbers)

    @property
    def url(self) -> str:
        """Where clients find it."""
        places = ",".join(f"{node.host}:{node.amqp}" for node in self.nodes)
        return f"amqp://memq:memq@{places}/memq"

    def tell(self) -> None:
        """Print each node's ports, and whether it runs."""
        for node in self.nodes:
            state = f"process {node.pid}" if node.pid is not None else "stopped"
            print(f"{node.name}: AMQP {node.amqp}, management {node.web}, {state}")
        print(self.url)


def parsed() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--directory", type=Path, help="what they write: var/cluster")
    add("--nodes", type=int, default=3, help="how many: 3")
    add("--base", type=int, default=5680, help="what ports are counted from: 5680")
    add("--root", type=Path, help="another Debian, which has RabbitMQ 4")
    add(
        "--net",
        default="",
        help="networks of their own, and what their names begin with",
    )
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
        command = commands.add_parser(name, help=help_)
        if name == "start":
            command.add_argument(
                "--khepri", action="store_true", help="RabbitMQ 4: by consensus"
            )
    for name, help_ in {
        "kill": "kill -9 a node",
        "freeze": "let a node stand still",
        "thaw": "let it go on",
        "cut": "take it off the network (--net)",
        "join": "put it on again",
        "part": "take it off the other nodes' (--net)",
        "unite": "put it on again",
        "ctl": "rabbitmqctl on a node",
    }.items():
        one = commands.add_parser(name, help=help_)
        one.add_argument("node", type=int)
        one.add_argument("words", nargs=argparse.REMAINDER)
    return parser.parse_args()


def main() -> int:
    """Do what the command line says, and return the exit status."""
    options = parsed()
    directory, root = options.directory, options.root
    cluster = Cluster(
        directory and directory.resolve(),
        options.nodes,
        options.base,
        root and root.resolve(),
        options.net,
    )
    if options.command == "start":
        cluster.start(options.partition, options.set, options.khepri)
    elif options.command == "stop":
        cluster.stop()
    elif options.command != "status":
        return fault(cluster, options.node, options.command, options.words)
    cluster.tell()
    return 0


def fault(cluster: Cluster, number: int, command: str, words: list[str]) -> int:
    """Do to a node what a command says, and return the exit status."""
    node = cluster.nodes[number - 1]
    if command == "ctl":
        return node.ctl(*words)
    if command in ("cut", "join", "part", "unite"):
        if cluster.network is None:
            sys.exit("cluster: the nodes have no networks of their own: see --net")
        if command in ("cut", "join"):
            cluster.network.cut(number, command == "cut")
        else:
            others = [each.number for each in cluster.nodes if each is not node]
            cluster.network.part(number, others, command == "part")
        return 0
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
