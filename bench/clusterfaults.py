"""What bench.clusterledger does to a cluster: nodes, front ends, and faults."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from base64 import b64encode
from pathlib import Path
from signal import SIGKILL
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from bench.workspace import ROOT
from testkit.servers import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Where Debian has RabbitMQ.
SCRIPTS = Path("/usr/lib/rabbitmq/bin")
#: Seconds that tools/cluster.py may take, and a question of a node.
PATIENCE, QUESTION = 180.0, 5.0
#: Seconds after which the other nodes are without one that stands still.
TICK = 10.0


class Nodes:
    """The nodes that tools/cluster.py runs.

    :ivar url: where clients find them.
    """

    def __init__(self, options: Sequence[str] = (), start: Sequence[str] = ()) -> None:
        """Start nothing.

        :param options: those of tools/cluster.py.
        :param start: those of its command ``start``.
        """
        self._options, self._start = options, start
        self.url = self.run("status").split()[-1]
        self._hosts = self.url.partition("@")[2].rpartition("/")[0].split(",")
        self.numbers = [*range(1, 1 + len(self._hosts))]

    def start(self) -> str:
        """Start those that do not run, and wait until all listen."""
        return self.run("start", *self._start)

    def stop(self) -> None:
        """Stop all."""
        self.run("stop")

    def run(self, *words: str) -> str:
        """Run tools/cluster.py to its end; return what it says.

        :raises subprocess.CalledProcessError: it failed.
        """
        tool = str(ROOT / "tools" / "cluster.py")
        command = [sys.executable, tool, *self._options, *words]
        return subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, timeout=PATIENCE
        ).stdout

    def leader(self, queue: bytes) -> int:
        """Return the node that leads a queue."""
        name = str(self._ask(f"queues/memq/{quote(queue.decode(), '')}")["leader"])
        return int(name.partition("@")[0].removeprefix("memq"))

    def describe(self) -> str:
        """Return what they are: RabbitMQ's version, and how they keep metadata."""
        version = self._ask("overview?columns=rabbitmq_version")["rabbitmq_version"]
        states = {each["name"]: each["state"] for each in self._ask("feature-flags")}
        isKhepri = states.get("khepri_db") == "enabled"
        return f"RabbitMQ {version} with {'Khepri' if isKhepri else 'Mnesia'}"

    def _ask(self, path: str) -> Any:
        """Return what the management API of the first node says that answers.

        :raises SystemExit: none does.
        """
        headers = {"Authorization": "Basic " + b64encode(b"memq:memq").decode()}
        for place in self._hosts:
            host, port = place.split(":")
            url = f"http://{host}:{int(port) + 10000}/api/{path}"
            request = urllib.request.Request(url, headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=QUESTION) as answer:
                    return json.load(answer)
            except OSError:
                continue
        raise SystemExit(f"no node answers /api/{path}")


class Front(Server):
    """A front end."""

    def __init__(self, url: str, *options: str) -> None:
        """Name its cluster; nothing is started.

        :param options: further ones.
        """
        super().__init__("")
        self._arguments = [
            *("--port=0", "--web-listen=", "--store=rabbitmq"),
            *("--rabbitmq", url, "--accept-mnesia", *options),
        ]


class Scene(NamedTuple):
    """What a fault is done to.

    :ivar queues: the ledger's, one for each way to read; the same front end has made
        them, so usually the same node leads them.
    :ivar round: from 0, so that each node has its turn.
    """

    nodes: Nodes
    fronts: Sequence[Front]
    queues: Sequence[bytes]
    round: int

    @property
    def leader(self) -> int:
        """The node that leads the queue that is read by closes."""
        return self.nodes.leader(self.queues[1])

    def others(self, node: int) -> list[int]:
        """Return the other nodes, each first in its turn."""
        found = [each for each in self.nodes.numbers if each != node]
        turn = self.round % len(found)
        return found[turn:] + found[:turn]


class Fault(NamedTuple):
    """Something that happens to a cluster.

    :ivar title: what it is, in the table.
    :ivar play: does it, waits, and puts all right.
    :ivar kills: how often a queue may lose its leader: what each reader has just closed
        may come again then.
    :ivar breaks: whether a front end dies, so that commands may be without an answer.
    :ivar needs: khepri or net, what nodes have to have.
    """

    title: str
    play: Callable[[Scene], None]
    kills: int = 0
    breaks: bool = False
    needs: str = ""


def _nothing(scene: Scene) -> None:
    time.sleep(4)


def _kill(scene: Scene, nodes: Sequence[int], seconds: float) -> None:
    for node in nodes:
        scene.nodes.run("kill", str(node))
    time.sleep(seconds)
    scene.nodes.start()


def _node(scene: Scene) -> None:
    leaders = [scene.nodes.leader(each) for each in scene.queues]
    idle = sorted(scene.others(scene.leader), key=lambda each: each in leaders)
    _kill(scene, idle[:1], 3)


def _leader(scene: Scene) -> None:
    _kill(scene, [scene.leader], 3)


def _two(scene: Scene) -> None:
    leader = scene.leader
    # Sometimes the leader is the one that stays.
    order = [leader, *scene.others(leader)]
    turn = scene.round % 3
    _kill(scene, (order[turn:] + order[:turn])[:2], 8)


def _front(scene: Scene) -> None:
    front = scene.fronts[scene.round % len(scene.fronts)]
    front.stop(SIGKILL)
    time.sleep(2)
    front.start()


def _memory(scene: Scene) -> None:
    words = "ctl", str(1 + scene.round % 3), "set_vm_memory_high_watermark", "absolute"
    scene.nodes.run(*words, "1")
    time.sleep(6)
    scene.nodes.run(*words, "1GB")


def _disk(scene: Scene) -> None:
    words = "ctl", str(1 + scene.round % 3), "set_disk_free_limit"
    scene.nodes.run(*words, "100000GB")
    time.sleep(6)
    scene.nodes.run(*words, "100MB")


def _freeze(scene: Scene) -> None:
    leader = scene.leader
    scene.nodes.run("freeze", str(leader))
    time.sleep(2 * TICK)
    scene.nodes.run("thaw", str(leader))
    time.sleep(3)
    _kill(scene, scene.others(leader), 6)


def _cut(scene: Scene) -> None:
    leader = str(scene.leader)
    scene.nodes.run("cut", leader)
    time.sleep(2 * TICK)
    scene.nodes.run("join", leader)


def _part(scene: Scene) -> None:
    leader = str(scene.leader)
    scene.nodes.run("part", leader)
    time.sleep(2 * TICK)
    scene.nodes.run("unite", leader)


#: All, by the names that the command line takes, in the order of the table.
FAULTS = {
    "none": Fault("none", _nothing),
    "node": Fault("a node that does not lead is killed, and started", _node),
    "leader": Fault("the leader is killed, and started", _leader, kills=1),
    "two": Fault("two of three are killed, and started 8 s later", _two, kills=2),
    "front": Fault("a front end is killed, and started", _front, breaks=True),
    "memory": Fault("a node is short of memory for 6 s", _memory),
    "disk": Fault("a node is short of disk space for 6 s", _disk),
    "freeze": Fault(
        "the leader stands still for 20 s; 3 s later the others are killed",
        _freeze,
        kills=3,
        needs="khepri",
    ),
    "cut": Fault("the leader is off the network for 20 s", _cut, kills=1, needs="net"),
    "part": Fault(
        "the leader is off the other nodes' network for 20 s; front ends reach it",
        _part,
        kills=1,
        needs="net",
    ),
}
