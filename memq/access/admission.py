"""Admission: what a listener asks of its clients, and who has come in by it.

A listener is open to everybody, or is a user itself, or asks each client who it is, in
one or several ways.  What a client has shown is kept as what it was compared with, and
never as what was said: when users are read again, each client that is there has to be
one that could come in again as the same user.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from memq.access.authenticator import Authenticator
from memq.access.users import encoded

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from memq.access.authenticator import Defer
    from memq.access.secrets import PasswordHash, TokenHash
    from memq.access.users import User, Users

#: Ways in which a client can tell who it is.
PEER, PASSWORD, CERTIFICATE = "peer", "password", "certificate"
WAYS = (PEER, PASSWORD, CERTIFICATE)


class Admission(NamedTuple):
    """What a listener asks of its clients.

    :ivar user: the name of the user that it is itself; then it asks nothing.
    :ivar ways: WAYS, any of which will do; none lets everybody do everything.
    :ivar whenUsers: whether it asks only while there are users.
    """

    user: str = ""
    ways: frozenset[str] = frozenset()
    whenUsers: bool = False

    @property
    def asksWord(self) -> bool:
        """Whether a client may say who it is."""
        return PASSWORD in self.ways and not self.user


#: Everybody may do everything.
OPEN = Admission()


class Entry(NamedTuple):
    """How somebody came in.

    :ivar uid: that of the process at the other end; None if something else did.
    :ivar names: those of its certificate, likewise.
    :ivar proof: the hash of what it said, likewise.
    """

    user: User
    uid: int | None = None
    names: tuple[str, ...] = ()
    proof: TokenHash | PasswordHash | None = None

    def again(self, users: Users) -> Entry | None:
        """Return it with the user as it is by now; None if it could not be again."""
        user = users.names.get(encoded(self.user.name))
        if user is None:
            return None
        if self.uid is not None and users.ofUid(self.uid) is not user:
            return None
        if self.names and users.ofCertificate(self.names) is not user:
            return None
        if self.proof is not None and str(self.proof) not in map(str, user.proofs()):
            return None
        return self._replace(user=user)


class AccessControl:
    """Knows the users of a server, and who may come in by which listener.

    :ivar authenticator: finds out who clients are; its counts are those of all.
    :ivar changed: is called when users were replaced.
    :ivar notAllowed: commands that were refused since a user had no right for them.
    """

    def __init__(self, users: Users, clock: IReactorTime, defer: Defer) -> None:
        """Begin.

        :param defer: ``deferToThread``, or what does as that; passwords are compared
            by it, which takes long.
        """
        self.authenticator = Authenticator(users, clock, defer)
        self.changed: list[Callable[[], object]] = []
        self.notAllowed = 0

    @property
    def users(self) -> Users:
        """Return those that there are."""
        return self.authenticator.users

    @property
    def hasUsers(self) -> bool:
        """Return whether there is one."""
        return bool(self.users.names)

    def replace(self, users: Users) -> None:
        """Let there be others; clients that could not come in any more are cut off."""
        self.authenticator.users = users
        for call in self.changed:
            call()

    def isOpen(self, admission: Admission) -> bool:
        """Return whether a listener asks nobody who it is."""
        if admission.whenUsers and not self.hasUsers:
            return True
        return not admission.user and not admission.ways

    def entryOf(self, admission: Admission, peer: str, transport: Any) -> Entry | None:
        """Return who a client is without a word from it; None if that is not known.

        Somebody unknown counts as a failure, unless there is a word to come.

        :param peer: what the log calls the client.
        :param transport: its own, after the handshake of TLS.
        """
        if admission.user:
            user = self.authenticator.named(admission.user)
            return None if user is None else Entry(user)
        entry = None
        if PEER in admission.ways:
            entry = self._ofPeer(transport)
        if entry is None and CERTIFICATE in admission.ways:
            entry = self._ofCertificate(transport)
        if entry is not None or not admission.asksWord:
            self.authenticator.noteShown(peer, entry is not None)
        return entry

    def _ofPeer(self, transport: Any) -> Entry | None:
        """Return whose process is at the other end of a UNIX socket."""
        owner = getattr(transport, "owner", None)
        found = None if owner is None else owner()
        if found is None:
            return None
        user = self.users.ofUid(found[1])
        return None if user is None else Entry(user, uid=found[1])

    def _ofCertificate(self, transport: Any) -> Entry | None:
        names = getattr(transport, "peerNames", ())
        user = self.users.ofCertificate(names)
        return None if user is None else Entry(user, names=names)
