"""What the cluster tells of itself, by the management plugin's HTTP API.

AMQP has no list of queues, and no word of how nodes keep what they know of them.  So
statistics, and the checks of a start, ask here.  Nothing here is asked for a set or a
get, and figures may be some seconds old: the nodes gather them every 5 s by default.

Each question is asked of one node after the other until one answers, from the one on
that answered last.  A long list comes page by page.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    TimeoutError,
    succeed,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers

from memq.rabbitmq.errors import Untold
from memq.rabbitmq.policies import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IReactorTime
    from twisted.web.iweb import IAgent, IResponse

#: Seconds that a node may take for one answer.
BOUND = 3.0
#: Queues on a page: as many as the API gives.
PAGE = 500
#: Bytes of an answer at most; a page of queues has 200 KB.
LONGEST = 16 << 20
#: What is asked of each queue.
COLUMNS = (
    "name,arguments,messages_ready,messages_unacknowledged,consumers,message_bytes,"
    "leader,online"
)


class ToldQueue(NamedTuple):
    """What is told of a queue.

    :ivar name: its name in RabbitMQ.
    :ivar arguments: those that it was declared with.
    :ivar ready: how many messages can be taken; unacknowledged, how many are open.
    :ivar consumers: how many reads wait.
    :ivar bytes: of all their bodies.
    :ivar isLed: whether a node leads it; else nobody knows what is in it.
    """

    name: str
    arguments: dict[str, Any]
    ready: int
    unacknowledged: int
    consumers: int
    bytes: int = 0
    isLed: bool = True


class Facts(NamedTuple):
    """What is told of the cluster.

    :ivar version: RabbitMQ's, of the node that was asked.
    :ivar nodes: how many there are.
    :ivar running: how many of them run.
    :ivar isParted: whether a node has said that the cluster is in parts, each of which
        has a record of its own of what queues there are.
    :ivar isKhepri: whether they keep what they know of queues by consensus; None if
        that is not told to this user, who is no administrator.
    """

    version: str
    nodes: int
    running: int
    isParted: bool
    isKhepri: bool | None


class Strange(Exception):
    """A node answered what is no answer: why, in words.

    :ivar code: of HTTP; 0 for another reason.
    """

    def __init__(self, why: str, code: int = 0) -> None:
        super().__init__(why)
        self.code = code


class _Body(Protocol):
    """The body of an answer, up to LONGEST bytes."""

    def __init__(self, whole: Deferred[bytes]) -> None:
        self._whole = whole
        self._pieces: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size > LONGEST:
            transport: Any = self.transport
            transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Hand it on, if it is whole."""
        if reason.check(ResponseDone):
            self._whole.callback(b"".join(self._pieces))
        else:
            self._whole.errback(Failure(Strange("its answer was cut short")))


class Telling:
    """Who asks; see above."""

    def __init__(
        self,
        clock: IReactorTime,
        agent: IAgent,
        places: Sequence[str],
        user: str,
        password: str,
        name: str,
    ) -> None:
        """Ask nothing yet.

        :param agent: makes the requests.
        :param places: where nodes have the API, as ``http://HOST:PORT``.
        :param name: the virtual host.
        """
        self._clock, self._agent = clock, agent
        self._places, self._name = list(places), quote(name, "")
        self.logIn(user, password)

    def logIn(self, user: str, password: str) -> None:
        """Say from now on who asks."""
        words = b64encode(f"{user}:{password}".encode()).decode("ascii")
        self._headers = Headers({"Authorization": [f"Basic {words}"]})

    def queues(self) -> Deferred[list[ToldQueue]]:
        """Ask for all queues, in the order of their names.

        :raise memq.rabbitmq.errors.Untold: in the Deferred, if no node answers.
        """
        return self._page(1, [])

    def _page(self, number: int, before: list[ToldQueue]) -> Deferred[list[ToldQueue]]:
        asked = {
            "page": str(number),
            "page_size": str(PAGE),
            "sort": "name",
            "columns": COLUMNS,
        }
        path = f"queues/{self._name}?{urlencode(asked, safe=',')}"

        def told(page: Any) -> Deferred[list[ToldQueue]]:
            found = before + [_queue(each) for each in page["items"]]
            if number < int(page["page_count"]):
                return self._page(number + 1, found)
            return succeed(found)

        return self._ask(path, told)

    def policies(self) -> Deferred[tuple[list[Policy], list[Policy]]]:
        """Ask for the policies of the virtual host, and for its operator policies.

        :raise memq.rabbitmq.errors.Untold: in the Deferred, if no node answers.
        """

        def told(policies: Any) -> Deferred[tuple[list[Policy], list[Policy]]]:
            found = [Policy.told(each) for each in policies]
            return self._ask(
                f"operator-policies/{self._name}",
                lambda others: succeed((found, [Policy.told(each) for each in others])),
            )

        return self._ask(f"policies/{self._name}", told)

    def facts(self) -> Deferred[Facts]:
        """Ask what the cluster is.

        :raise memq.rabbitmq.errors.Untold: in the Deferred, if no node answers.
        """

        def there(_: object) -> Deferred[Facts]:
            return self._ask("overview?columns=rabbitmq_version", self._cbVersion)

        # Of one that is not there this is told to everybody, unlike vhosts/NAME; and a
        # list of 1,000 quorum queues takes 20 s on a busy machine (3.10.8).
        return self._ask(
            f"exchanges/{self._name}?page=1&page_size=1&columns=name", there
        )

    def _cbVersion(self, overview: Any) -> Deferred[Facts]:
        version = str(overview["rabbitmq_version"])
        return self._ask(
            "nodes?columns=name,running,partitions",
            lambda nodes: self._cbNodes(version, nodes),
        )

    def _cbNodes(self, version: str, nodes: Any) -> Deferred[Facts]:
        running = sum(bool(each["running"]) for each in nodes)
        # A node that does not run has no word of it.
        isParted = any(each.get("partitions") for each in nodes)

        def told(flags: Any) -> Deferred[Facts]:
            isKhepri = any(
                each["name"] == "khepri_db" and each["state"] == "enabled"
                for each in flags
            )
            return succeed(Facts(version, len(nodes), running, isParted, isKhepri))

        def notTold(failure: Failure) -> Facts:
            failure.trap(Untold)
            if getattr(failure.value, "code", 0) != 401:
                failure.raiseException()
            return Facts(version, len(nodes), running, isParted, None)

        return self._ask("feature-flags", told).addErrback(notTold)

    def _ask(self, path: str, told: Callable[[Any], Deferred[Any]]) -> Deferred[Any]:
        """Ask nodes for something, until one answers.

        :param told: takes the answer, and returns what comes of it.
        """
        return self._try(path, told, len(self._places))

    def _try(
        self, path: str, told: Callable[[Any], Deferred[Any]], left: int, code: int = 0
    ) -> Deferred[Any]:
        place = self._places[0]
        uri = f"{place}/api/{path}".encode("ascii")
        asked = self._agent.request(b"GET", uri, self._headers, None)
        asked.addCallback(self._cbResponse)
        asked.addTimeout(BOUND, self._clock)
        asked.addCallback(told)

        def again(failure: Failure) -> Any:
            if failure.check(Untold):
                # A later page has tried them all.
                return failure
            if place == self._places[0]:
                # Nobody else has found that meanwhile.
                self._places.append(self._places.pop(0))
            answered = getattr(failure.value, "code", 0) or code
            if left > 1:
                return self._try(path, told, left - 1, answered)
            raise Untold(_why(failure), answered)

        return asked.addErrback(again)

    def _cbResponse(self, response: IResponse) -> Deferred[Any]:
        whole: Deferred[bytes] = Deferred()
        response.deliverBody(_Body(whole))

        def parsed(body: bytes) -> Any:
            if response.code != 200:
                raise Strange(f"it answered {response.code}", response.code)
            return json.loads(body)

        return whole.addCallback(parsed)


def _why(failure: Failure) -> str:
    """Return in words why there is no answer: that of what failed first."""
    reasons = getattr(failure.value, "reasons", ())
    if failure.check(TimeoutError, CancelledError) or any(
        each.check(CancelledError) for each in reasons
    ):
        return "no answer in time"
    first: Failure = reasons[0] if reasons else failure
    return str(first.getErrorMessage())


def _queue(told: Any) -> ToldQueue:
    """Return a queue; one that was just made, or has no leader, has no figures."""
    return ToldQueue(
        str(told["name"]),
        dict(told.get("arguments", {})),
        int(told.get("messages_ready", 0)),
        int(told.get("messages_unacknowledged", 0)),
        int(told.get("consumers", 0)),
        int(told.get("message_bytes", 0)),
        "leader" not in told or told["leader"] in told.get("online", ()),
    )
