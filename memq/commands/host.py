"""Host interfaces: the parts of the server that commands need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from memq.connection.interfaces import Counters, Host

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred

    from memq.access.rights import Rights
    from memq.commands.details import Details, Telling
    from memq.config.reload import PolicyReloader
    from memq.interfaces import IQueueStore
    from memq.logs.audit import Audit


class CommandCounters(Counters, Protocol):
    """The counters of commands, and their figures."""

    getCommands: int
    getHits: int
    opens: int
    looks: int
    setCommands: int
    setHits: int
    deletes: int
    deleteMisses: int
    flushes: int

    @property
    def details(self) -> Details:
        """Return what is told of each queue."""

    def asked(self, topic: bytes) -> Callable[[IQueueStore], bytes]:
        """Return the function that answers ``stats <topic>`` from a store."""

    def summary(self, rights: Rights | None = None) -> Telling:
        """Return what ``stats`` tells, a little at a time.

        :param rights: of whom it is told, who sees some queues; None for all.
        """


class MaintenanceActions(Protocol):
    """The maintenance that clients can ask for."""

    def checkpoint(self) -> Deferred[None]:
        """Make a checkpoint."""

    def removeLogs(self) -> Deferred[None]:
        """Remove log files that no recovery needs."""


class CommandHost(Host, Protocol):
    """The server."""

    @property
    def statistics(self) -> CommandCounters:
        """Return what is counted, of commands as well."""

    @property
    def maintenance(self) -> MaintenanceActions:
        """Return the maintenance."""

    @property
    def verbose(self) -> bool:
        """Return whether errors that clients are told are logged."""

    @property
    def flushAllEnabled(self) -> bool:
        """Return whether clients may empty all queues."""

    @property
    def audit(self) -> Audit:
        """Return what is told who did what."""

    @property
    def rules(self) -> PolicyReloader:
        """Return what changes the rules of clients, and knows those that hold."""

    def clients(self) -> Telling:
        """Return what tells of each connection."""

    def kill(self, number: int) -> str | None:
        """Cut a connection off; return what the log calls its client, if there is one.

        :param number: as ``clients`` tells it.
        """

    def noteNotAllowed(self, connection: Any) -> None:
        """Note that the user of a connection has no right for a command."""

    def noteForeign(self, name: str, peer: str) -> None:
        """Log that a client speaks another protocol."""
