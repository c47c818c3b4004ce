"""QueueService: opens the store, listens, and ends in order.

The order is the point, and this class alone knows it:

- start: open the store (recovery included), take over what MemcacheQ left, look at
  the disk, then listen;
- stop: stop listening; take no more commands; answer what was taken, which
  includes the flush that covers it; close connections; end the upkeep; close the
  store; end the threads.

Flushes have a thread of their own, since a checkpoint of a second must not stand
in front of them; so has the reading of rules.  A store that has failed for good ends
the process.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import (
    Deferred,
    FirstError,
    gatherResults,
    maybeDeferred,
)
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from memq import __version__
from memq.errors import QueueError, StartError, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IListeningPort, IProtocolFactory
    from twisted.python.failure import Failure
    from twisted.python.threadpool import ThreadPool

    from memq.broker.broker import Broker
    from memq.broker.sweeper import PolicySweeper
    from memq.daemon.maintenance import Maintenance
    from memq.interfaces import IQueueStore
    from memq.server.factory import QueueFactory
    from memq.server.timeouts import ConnectionTimeouts

#: Seconds that clients are given at the end to read what they were answered.
DRAIN_SECONDS = 3.0

_log = Logger()


class Listener(Protocol):
    """Something that a server can listen on."""

    def listen(
        self, reactor: Any, factory: IProtocolFactory
    ) -> Deferred[IListeningPort]:
        """Begin to take connections."""


class Takeover(Protocol):
    """What is done with an open store before anything listens."""

    def run(self) -> object:
        """Do it; blocks for long."""

    def interrupt(self) -> None:
        """Make ``run`` return soon; from any thread."""


class ExitStatus(Protocol):
    """The owner of the process's exit status."""

    def fail(self, reason: str, status: int) -> None:
        """Log why, stop the reactor, and exit with a status that is not 0."""


def _words(address: object) -> str:
    """Return where a port listens, as a person writes it."""
    if isinstance(address, IPv6Address):
        return f"[{address.host}]:{address.port}"
    if isinstance(address, IPv4Address):
        return f"{address.host}:{address.port}"
    if isinstance(address, UNIXAddress) and address.name is not None:
        return os.fsdecode(address.name)
    return str(address)


def _cause(failure: Failure) -> Failure:
    """Return what failed, where it was one of several."""
    error = failure.value
    return error.subFailure if isinstance(error, FirstError) else failure


class QueueService(Service):
    """Run a store, a broker and their listeners as one service."""

    def __init__(
        self,
        reactor: Any,
        store: IQueueStore,
        broker: Broker,
        factory: QueueFactory,
        maintenance: Maintenance,
        listeners: Sequence[Listener],
        exitStatus: ExitStatus,
        *,
        flushPool: ThreadPool,
        workPool: ThreadPool,
        rulePool: ThreadPool,
        watch: ConnectionTimeouts,
        sweeper: PolicySweeper,
        settled: Callable[[], object] = lambda: None,
        takeover: Takeover | None = None,
    ) -> None:
        """Remember the parts; ``startService`` puts them to work.

        :param reactor: IReactorTime and IReactorFromThreads.
        :param listeners: what to listen on once the store is open.
        :param exitStatus: is told of what the service cannot come back from.
        :param flushPool: one thread, for the flushes of the log.
        :param workPool: one thread, the same that the upkeep runs in.
        :param rulePool: one thread, in which rules are read again.
        :param watch: looks after silent clients while there are any.
        :param sweeper: what the rules ask for while the server listens.
        :param settled: called once the server listens.
        :param takeover: what to do with the store when it is open.
        """
        self._reactor = reactor
        self._store = store
        self._broker = broker
        self._factory = factory
        self._upkeep = maintenance
        self._listeners = listeners
        self._exitStatus = exitStatus
        self._flushPool = flushPool
        self._workPool = workPool
        self._rulePool = rulePool
        self._watch = watch
        self._settled = settled
        self._takeover = takeover
        self._chores = sweeper
        self._ports: list[IListeningPort] = []
        #: Fires when the start is over, whether it went well or not.
        self.started: Deferred[None] | None = None

    def startService(self) -> None:
        """Open the store in the pool, then listen."""
        super().startService()
        self._flushPool.start()
        self._workPool.start()
        self._rulePool.start()
        _log.info("memq {version} opens its store", version=__version__)
        self.started = self._inWorkPool(self._open)
        self.started.addCallback(self._cbOpened)
        self.started.addErrback(self._ebNotStarted)

    def _open(self) -> None:
        """Open the store, and take over what there is."""
        self._store.open()
        if self._takeover is not None:
            self._takeover.run()

    def _inWorkPool(self, call: Callable[[], None]) -> Deferred[None]:
        return deferToThreadPool(self._reactor, self._workPool, call)

    def _cbOpened(self, _: None) -> Deferred[None]:
        status = self._store.status()
        _log.info("{queues} queues with {messages} messages are there", **status)
        return self._upkeep.start().addCallback(self._cbListen)

    def _cbListen(self, _: None) -> Deferred[None] | None:
        if not self.running:
            return None
        self._broker.start()
        self._watch.start()
        self._chores.start()
        ports = [
            listener.listen(self._reactor, self._factory).addCallback(self._cbListening)
            for listener in self._listeners
        ]
        return gatherResults(ports, consumeErrors=True).addCallback(self._cbSettled)

    def _cbSettled(self, _: object) -> None:
        self._settled()

    def _cbListening(self, port: IListeningPort) -> None:
        self._ports.append(port)
        _log.info("Listening on {address}", address=_words(port.getHost()))

    def _ebNotStarted(self, failure: Failure) -> None:
        failure = _cause(failure)
        status = 1
        if isinstance(failure.value, StartError | StoreFailed):
            status = failure.value.status
        else:
            _log.failure("The start failed in a way that nobody foresaw", failure)
        self._exitStatus.fail(failure.getErrorMessage(), status)

    def stopService(self) -> Deferred[None]:
        """Answer what was taken, then close everything in order."""
        super().stopService()
        _log.info("Stopping: answering what was taken")
        if self._takeover is not None:
            self._takeover.interrupt()
        assert self.started is not None
        ended: Deferred[None] = Deferred()
        self.started.addCallback(lambda _: self._stop().chainDeferred(ended))
        return ended

    def _stop(self) -> Deferred[None]:
        ports = [maybeDeferred(port.stopListening) for port in self._ports]
        done: Deferred[Any] = gatherResults(ports, consumeErrors=True)
        done.addErrback(self._ebStopping)
        done.addCallback(lambda _: self._drain())
        done.addErrback(self._ebStopping)
        done.addCallback(lambda _: self._upkeep.stop())
        done.addErrback(self._ebStopping)
        done.addCallback(lambda _: self._inWorkPool(self._store.close))
        done.addErrback(self._ebNotClosed)
        done.addCallback(self._cbStopped)
        return done

    def _drain(self) -> Deferred[None]:
        """Let the connections end, and the broker after them."""
        late = self._reactor.callLater(DRAIN_SECONDS, self._factory.abort)

        def _cbGone(_: None) -> Deferred[None]:
            if late.active():
                late.cancel()
            self._watch.stop()
            self._chores.stop()
            return self._broker.drain()

        return self._factory.finish().addCallback(_cbGone)

    def _ebStopping(self, failure: Failure) -> None:
        _log.failure("The stop goes on after an error", _cause(failure))

    def _ebNotClosed(self, failure: Failure) -> None:
        """End with a status that says that the store did not end well."""
        error = failure.value
        known = self._broker.failure
        if known is not None and str(error) == str(known):
            # The process ends for that already.
            return
        if not isinstance(error, QueueError):
            _log.failure("The store could not be closed", failure)
        status = error.status if isinstance(error, StoreFailed) else 1
        self._exitStatus.fail(f"the store could not be closed: {error}", status)

    def _cbStopped(self, _: object) -> None:
        self._flushPool.stop()
        self._workPool.stop()
        self._rulePool.stop()
        _log.info("Stopped")
