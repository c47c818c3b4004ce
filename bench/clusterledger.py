"""A ledger of what a publisher was told, beside what a cluster has: with faults.

`python -m bench.clusterledger --fault kill` publishes for some seconds to the nodes
that `make cluster` has started, does something to one of them meanwhile, puts it right,
and then takes all messages out.  A line says how many were told as stored and how many
of those are gone, which is never to be; how many are there of which nothing was to be;
and how long the longest wait for success was.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pika

from bench.workspace import ROOT
from memq.config.cluster import Address, parseAddress
from memq.net.tlsclient import clientContext
from memq.rabbitmq.errors import Unsure
from memq.rabbitmq.links.places import makeCluster
from memq.rabbitmq.names import encode
from memq.rabbitmq.publishing.publisher import Publisher
from memq.rabbitmq.publishing.questions import ARGUMENTS

if TYPE_CHECKING:
    from memq.errors import QueueError

URL = "amqp://memq:memq@127.0.0.1:5681,127.0.0.1:5682,127.0.0.1:5683/memq"
#: A queue that is not there and is never made: what goes there is returned.
NOWHERE = "ledger-nowhere"
#: What is done, and what puts it right, as tools/cluster.py takes it.
FAULTS = {
    "none": ([], []),
    "kill": (["kill"], ["start"]),
    "freeze": (["freeze"], ["thaw"]),
    "disk": (
        ["ctl", "set_disk_free_limit", "100000GB"],
        ["ctl", "set_disk_free_limit", "100MB"],
    ),
    "memory": (
        ["ctl", "set_vm_memory_high_watermark", "absolute", "1"],
        ["ctl", "set_vm_memory_high_watermark", "absolute", "1GB"],
    ),
}


def cluster(*words: str) -> None:
    """Run tools/cluster.py, to its end."""
    command = [sys.executable, str(ROOT / "tools" / "cluster.py"), *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def fault(name: str, nodes: list[int], seconds: float) -> None:
    """Do something to nodes, and put it right after some time.

    It is for a thread: rabbitmqctl takes seconds on a busy machine.
    """
    for words in FAULTS[name]:
        if words[:1] == ["start"]:
            cluster(*words)
        elif words:
            for node in nodes:
                cluster(words[0], str(node), *words[1:])
        if words is FAULTS[name][0]:
            time.sleep(seconds)


class Ledger:
    """What was told of each message, by its number.

    :ivar told: stored, unsure, or why nothing is stored, by the numbers of messages.
    :ivar late: the most seconds until a message was told.
    :ivar pause: the most seconds between two that were stored.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.told: dict[int, str] = {}
        self.wrong = 0
        self.late = self.pause = 0.0
        self.count = 0
        self.spent = Counter[str]()
        self._storedAt: float | None = None

    def tell(self, number: int, sentAt: float, error: QueueError | None) -> None:
        """Note what was told of a message."""
        now = time.monotonic()
        self.late = max(self.late, now - sentAt)
        if number in self.told:
            self.wrong += 1
        if error is None:
            self.pause = max(self.pause, now - (self._storedAt or now))
            self._storedAt = now
            self.told[number] = "stored"
        elif isinstance(error, Unsure):
            self.told[number] = "unsure"
        else:
            self.told[number] = "nothing"
            self.spent[str(error)] += 1

    def end(self) -> None:
        """Count the time since the last one that was stored."""
        now = time.monotonic()
        self.pause = max(self.pause, now - (self._storedAt or now))


class Load:
    """Producers that publish one message after the other.

    :ivar queues: where they publish.
    :ivar spent: seconds of the processor's that this process took, at the end.
    """

    def __init__(
        self, reactor: Any, publisher: Publisher, queues: list[str], returned: int
    ) -> None:
        """Begin nothing.

        :param returned: every so many-th message goes nowhere; 0 for none.
        """
        self._reactor, self._publisher = reactor, publisher
        self.queues, self._returned = queues, returned
        self.ledger = Ledger()
        self.isOver = False
        self.spent = -time.process_time()

    def end(self) -> None:
        """Publish nothing more."""
        self.isOver = True
        self.spent += time.process_time()
        self.ledger.end()

    def next(self) -> None:
        """Publish a message, and the next one when it is told."""
        if self.isOver:
            return
        ledger = self.ledger
        ledger.count += 1
        number = ledger.count
        queue = self.queues[number % len(self.queues)]
        if self._returned and number % self._returned == 0:
            queue = NOWHERE
        sentAt = time.monotonic()

        def told(error: QueueError | None) -> None:
            ledger.tell(number, sentAt, error)
            # A refusal at once would come again at once.
            self._reactor.callLater(0.0 if error is None else 0.01, self.next)

        body = b"%d" % number
        self._publisher.publish(encode(queue.encode()), body.ljust(100), {"f": 0}, told)


def drain(address: Address, queues: list[str]) -> dict[str, list[int]]:
    """Take all messages out of queues, and return their numbers, in order."""
    place = parseAddress(URL).places[0]
    credentials = pika.PlainCredentials(address.user, address.password or "")
    parameters = pika.ConnectionParameters(
        place.host, place.port, address.name, credentials
    )
    connection = pika.BlockingConnection(parameters)
    found = {}
    for queue in queues:
        channel = connection.channel()
        # One that nothing was stored in.
        channel.queue_declare(queue, durable=True, arguments=ARGUMENTS)
        numbers: list[int] = []
        for method, _, body in channel.consume(
            queue, auto_ack=True, inactivity_timeout=2.0
        ):
            if method is None:
                break
            numbers.append(int(body))
        found[queue] = numbers
        channel.cancel()
        channel.queue_delete(queue)
    connection.close()
    return found


def report(load: Load, found: dict[str, list[int]], title: str) -> int:
    """Print what was found, and return how many stored messages are lost."""
    ledger = load.ledger
    there = Counter(number for numbers in found.values() for number in numbers)
    counts = Counter(ledger.told.values())
    lost = [n for n, what in ledger.told.items() if what == "stored" and not there[n]]
    ghosts = [n for n, what in ledger.told.items() if what == "nothing" and there[n]]
    unsure = [n for n, what in ledger.told.items() if what == "unsure"]
    disordered = 0
    for numbers in found.values():
        stored = [n for n in numbers if ledger.told.get(n) == "stored"]
        disordered += sum(one > other for one, other in pairwise(stored))
    print(
        f"{title}: {ledger.count:,} sent, {counts['stored']:,} stored, "
        f"{len(lost)} lost, {sum(each > 1 for each in there.values())} twice, "
        f"{disordered} out of order, {counts['nothing']:,} refused "
        f"({len(ghosts)} of them there), {len(unsure)} unsure "
        f"({sum(bool(there[n]) for n in unsure)} there), "
        f"{ledger.count - len(ledger.told)} never told, {ledger.wrong} told twice, "
        f"longest answer {ledger.late:.2f} s, without success {ledger.pause:.2f} s"
    )
    for words, count in ledger.spent.most_common(4):
        print(f"    {count:,} {words}")
    return len(lost)


def parsed() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--url", default=URL)
    add("--ca", help="authorities of the nodes, for amqps://")
    add("--fault", choices=FAULTS, default="none")
    add("--nodes", type=int, nargs="+", default=[1], help="those it is done to, from 1")
    add("--seconds", type=float, default=12.0, help="how long in all")
    add("--fault-seconds", type=float, default=4.0, help="how long the fault lasts")
    add("--producers", type=int, default=50)
    add("--queues", type=int, default=2)
    add("--returned", type=int, default=0, help="every so many-th message goes nowhere")
    return parser.parse_args()


def play(options: argparse.Namespace, loop: Any, publisher: Publisher) -> Load:
    """Publish, with a fault in the middle, until all is told; return what was told.

    :raises SystemExit: if the fault, or what puts it right, cannot be done.
    """
    stamp = int(time.time())
    queues = [f"ledger-{stamp}-{each}" for each in range(options.queues)]
    load = Load(loop, publisher, queues, options.returned)
    broken: list[str] = []

    def inject() -> None:
        try:
            fault(options.fault, options.nodes, options.fault_seconds)
        except subprocess.CalledProcessError as error:
            broken.append(str(error))

    def stop() -> None:
        load.end()
        loop.callLater(6.0, lambda: publisher.stop().addBoth(lambda _: loop.stop()))

    publisher.start()
    for _ in range(options.producers):
        loop.callLater(0.5, load.next)
    at = (options.seconds - options.fault_seconds) / 2
    loop.callLater(at, loop.callInThread, inject)
    loop.callLater(options.seconds, stop)
    # It waits for the thread.
    loop.run()
    if broken:
        sys.exit(broken[0])
    return load


def main() -> int:
    """Do what the command line says; the status is 1 if a message is lost."""
    options = parsed()
    from twisted.internet import reactor
    from twisted.logger import globalLogBeginner, textFileLogObserver

    globalLogBeginner.beginLoggingTo(
        [textFileLogObserver(sys.stderr)], redirectStandardIO=False
    )
    address = parseAddress(options.url)
    context = clientContext(options.ca) if address.isSecure else None
    places = makeCluster(reactor, address, address.password or "", context)
    clock: Any = reactor
    publisher = Publisher(clock, places, 5.0)
    publisher.known.add(NOWHERE)
    load = play(options, reactor, publisher)
    cluster("start")
    found = drain(address, load.queues)
    lost = report(load, found, f"{options.fault} {options.nodes}")
    stored = sum(what == "stored" for what in load.ledger.told.values())
    print(
        f"    {stored / options.seconds:,.0f} stored a second, "
        f"{load.spent / load.ledger.count * 1e6:.0f} us of this process each"
    )
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
