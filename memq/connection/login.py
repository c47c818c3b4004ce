"""Login: connections of listeners that ask each client who it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.connection.connection import Connection
from memq.wire.auth.refusals import Unauthenticated

if TYPE_CHECKING:
    from memq.access.admission import AccessControl, Entry


class LoginConnection(Connection):
    """Serve one client once it is known who it is."""

    def connectionMade(self) -> None:
        """Look at what the transport tells of the client."""
        super().connectionMade()
        access = self.host.access
        entry = access.entryOf(self.admission, self.peer, self.transport)
        if entry is None:
            self._commands.refuse(Unauthenticated())
            self.finish()
        else:
            self._enter(entry)

    def _enter(self, entry: Entry) -> None:
        self.entry = entry

    def admitAgain(self, access: AccessControl) -> None:
        """Give the client the rights that its user has by now, or cut it off."""
        if self.entry is None:
            return
        entry = self.entry.again(access.users)
        if entry is None:
            self.transport.abortConnection()
        else:
            self._enter(entry)
