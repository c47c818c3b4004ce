"""The service: opens the store, listens, and ends in order.

The order is the point, and this class alone knows it:

- start: open the store (recovery included, and what MemcacheQ left; or connections to a
  cluster), look at the disk, then listen;
- stop: stop listening; take no more commands; answer what was taken, which
  includes the flush that covers it; close connections; end the maintenance; close the
  store; end the threads.

Flushes have a thread of their own, since a checkpoint of a second must not stand
in front of them; so has the reading of rules.  A store that has failed for good ends
the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from twisted.application.service import Service
from twisted.internet.defer import (
    Deferred,
    FirstError,
    gatherResults,
    maybeDeferred,
)
from twisted.logger import Logger

from memq import __version__
from memq.errors import HomeGone, QueueError, StartError, StoreFailed
from memq.net.listeners import shownAddress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IListeningPort
    from twisted.python.failure import Failure
    from twisted.python.threadpool import ThreadPool

    from memq.broker.interfaces import IEngine
    from memq.net.poller import Poller
    from memq.server.factory import QueueFactory
    from memq.server.slow import SlowCommands
    from memq.server.timeouts import ConnectionTimeouts

#: Seconds that clients are given at the end to read what they were answered.
DRAIN_SECONDS = 3.0
#: Seconds that a flush may take to be quick.
QUICK_FLUSH = 0.001
#: How many quick flushes in a row it takes to expect another one.
QUICK_IN_A_ROW = 8

_log = Logger()


class Served(Protocol):
    """Something that clients can come in by, and that knows what it asks of them."""

    def listen(self, poller: Poller, factory: QueueFactory) -> Deferred[IListeningPort]:
        """Let clients in; it fails with OptionError."""


class Keeper(Protocol):
    """Opens what the queues are kept in, looks after it, and closes it."""

    def open(self) -> Deferred[None]:
        """Open it; fires when clients can be served."""

    def interrupt(self) -> None:
        """Let ``open`` be over soon, whether it is open then or not."""

    def serve(self) -> None:
        """Begin with what is done while the server listens."""

    def endServing(self) -> None:
        """End that: the last client is gone."""

    def endUpkeep(self) -> Deferred[None]:
        """End all other work on it."""

    def close(self) -> Deferred[None]:
        """Close it, also if it was never open."""


def _cause(failure: Failure) -> Failure:
    """Return what failed, where it was one of several."""
    error = failure.value
    return error.subFailure if isinstance(error, FirstError) else failure


class Pools(NamedTuple):
    """Pools of one thread each.

    :ivar flush: for the flushes of the log.
    :ivar work: for everything else of the store; the maintenance's as well.
    :ivar rules: in which rules are read again.
    :ivar access: in which passwords are compared.
    """

    flush: ThreadPool
    work: ThreadPool
    rules: ThreadPool
    access: ThreadPool


class Parts(NamedTuple):
    """The parts that the service starts and stops.

    :ivar keeper: opens and closes what the queues are kept in.
    :ivar watch: looks after silent clients while there are any.
    :ivar slow: looks for slow commands meanwhile.
    :ivar poller: watches the sockets of connections.
    :ivar listeners: what to listen on once the store is open.
    :ivar settled: called once the server listens.
    """

    keeper: Keeper
    broker: IEngine
    factory: QueueFactory
    watch: ConnectionTimeouts
    slow: SlowCommands
    poller: Poller
    listeners: Sequence[Served]
    settled: Callable[[], object] = lambda: None


class QueueService(Service):
    """Run a store, a broker and their listeners.

    :ivar started: fires when the start is over, whether it went well or not.
    """

    def __init__(
        self,
        reactor: Any,
        parts: Parts,
        pools: Pools,
        fail: Callable[[str, int], object],
    ) -> None:
        """Remember the parts; ``startService`` puts them to work.

        :param reactor: IReactorTime.
        :param fail: ends the process for a reason, and with a status.
        """
        self._reactor = reactor
        self._parts = parts
        self._pools = pools
        self._fail = fail
        self._ports: list[IListeningPort] = []
        self.started: Deferred[None] | None = None

    def startService(self) -> None:
        """Open the store, then listen."""
        super().startService()
        for pool in self._pools:
            pool.start()
        _log.info("memq {version} opens its store", version=__version__)
        self.started = self._parts.keeper.open()
        self.started.addCallback(self._cbListen)
        self.started.addErrback(self._ebNotStarted)

    def _cbListen(self, _: None) -> Deferred[None] | None:
        if not self.running:
            return None
        parts = self._parts
        parts.broker.start()
        parts.watch.start()
        parts.keeper.serve()
        parts.slow.start()
        ports = [
            listener.listen(parts.poller, parts.factory).addCallback(self._cbListening)
            for listener in parts.listeners
        ]
        listening = gatherResults(ports, consumeErrors=True)
        return listening.addCallback(self._cbSettled)

    def _cbSettled(self, _: object) -> None:
        self._parts.settled()

    def _cbListening(self, port: IListeningPort) -> None:
        self._ports.append(port)
        _log.info("Listening on {address}", address=shownAddress(port.getHost()))

    def _ebNotStarted(self, failure: Failure) -> None:
        failure = _cause(failure)
        status = 1
        if isinstance(failure.value, StartError | StoreFailed):
            status = failure.value.status
        else:
            _log.failure("The start failed in a way that nobody foresaw", failure)
        self._fail(failure.getErrorMessage(), status)

    def stopService(self) -> Deferred[None]:
        """Answer what was taken, then close everything in order."""
        super().stopService()
        _log.info("Stopping: answering what was taken")
        self._parts.keeper.interrupt()
        assert self.started is not None
        ended: Deferred[None] = Deferred()
        self.started.addCallback(lambda _: self._stop().chainDeferred(ended))
        return ended

    def _stop(self) -> Deferred[None]:
        ports = [maybeDeferred(port.stopListening) for port in self._ports]
        done: Deferred[Any] = gatherResults(ports, consumeErrors=True)
        done.addErrback(self._ebStopping)
        keeper = self._parts.keeper
        for step in (self._drain, keeper.endUpkeep):
            done.addCallback(lambda _, call: call(), step)
            done.addErrback(self._ebStopping)
        done.addCallback(lambda _: keeper.close())
        done.addErrback(self._ebNotClosed)
        return done.addCallback(self._cbStopped)

    def _drain(self) -> Deferred[None]:
        """Let the connections end, and the broker after them."""
        late = self._reactor.callLater(DRAIN_SECONDS, self._parts.factory.abort)

        def _cbGone(_: None) -> Deferred[None]:
            if late.active():
                late.cancel()
            self._parts.watch.stop()
            self._parts.keeper.endServing()
            self._parts.slow.stop()
            return self._parts.broker.drain()

        return self._parts.factory.finish().addCallback(_cbGone)

    def _ebStopping(self, failure: Failure) -> None:
        _log.failure("The stop goes on after an error", _cause(failure))

    def _ebNotClosed(self, failure: Failure) -> None:
        """End with a status that says that the store did not end well."""
        error = failure.value
        known = self._parts.broker.failure
        if isinstance(error, HomeGone) and isinstance(known, HomeGone):
            # The process ends for that already, whichever file it has missed first.
            return
        if known is not None and str(error) == str(known):
            return
        if not isinstance(error, QueueError):
            _log.failure("The store could not be closed", failure)
        status = error.status if isinstance(error, StoreFailed) else 1
        self._fail(f"the store could not be closed: {error}", status)

    def _cbStopped(self, _: object) -> None:
        for pool in self._pools:
            pool.stop()
        _log.info("Stopped")
