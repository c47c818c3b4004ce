"""Errors, one class a meaning, each with its reply line.

An error that a client can cause or must hear of is a :class:`QueueError`: it
carries the line that is sent, without its line end, and says whether the
connection lives on.  An error that stops a start is a :class:`StartError`: one line for
the person who started the server, never a traceback.
"""

from __future__ import annotations

from enum import Enum

from memq.display import shownName

#: The exit status that says: a restart does not mend this, a person has to look
#: (EX_CONFIG of sysexits.h).
NEEDS_A_PERSON = 78


class QueueError(Exception):
    """Say to a client that a command was not carried out."""

    #: The reply, without CR LF.  docs/protocol.md lists them all.
    reply: bytes = b"SERVER_ERROR internal error"
    #: Whether the connection is closed after the reply.
    closes: bool = False

    def __str__(self) -> str:
        """Return the reply as text, for the log."""
        return self.reply.decode("utf-8", "backslashreplace")


class UnknownCommand(QueueError):
    """The line is not a command, or has the wrong number of words."""

    reply = b"ERROR"


class BadLine(QueueError):
    """A word of the line is not what the command takes."""

    reply = b"CLIENT_ERROR bad command line format"


class TooManyQueues(QueueError):
    """More queues are named than a line may have of which one has an option."""

    reply = b"CLIENT_ERROR no more than 250 queues a command with options"


class UnknownOption(QueueError):
    """A name has an option that the command does not know, or an empty one."""

    reply = b"CLIENT_ERROR unknown option"


class OptionTwice(QueueError):
    """A name has the same option twice."""

    reply = b"CLIENT_ERROR option given twice"


class OptionsApart(QueueError):
    """A name has options of which each is known, and that make no sense together."""

    reply = b"CLIENT_ERROR these options do not go together"


class BadWait(QueueError):
    """The time that a get is to wait is no number, or too long."""

    reply = b"CLIENT_ERROR t= takes 0 to 3600000 milliseconds"


class BadDelay(QueueError):
    """The delay of a set is no number, or too long."""

    reply = b"CLIENT_ERROR delay= takes 0 to 31536000 seconds"


class BadNumber(QueueError):
    """The number of an open message is none."""

    reply = b"CLIENT_ERROR open=, close= and abort= take the number of a message"


class AlreadyOpen(QueueError):
    """This connection has an open read on that queue."""

    reply = b"CLIENT_ERROR close current item first"


class TooManyOpen(QueueError):
    """This connection has as many open reads as it may, on that queue or in all."""

    reply = b"CLIENT_ERROR too many open, close or abort some first"


class TooManyTails(QueueError):
    """There are as many tails as there may be."""

    reply = b"SERVER_ERROR too many tails"


class NotOpen(QueueError):
    """A command asks for a message that this connection has not open."""

    reply = b"CLIENT_ERROR not open on this connection"


class Refusing(Enum):
    """Why a queue takes no message now, in the order of ``stats``."""

    FULL = "full"
    PAUSED = "paused"
    #: A queue that its sets go to as well is full, or paused.
    FANOUT = "fanout"


class NotStored(QueueError):
    """A queue takes no message now.

    :ivar asked: the queue that the set named.
    :ivar queue: the one that refuses, which is another one with FANOUT.
    :ivar cause: why that one does: FULL or PAUSED.
    """

    reply = b"NOT_STORED"

    def __init__(self, asked: bytes, queue: bytes, cause: Refusing) -> None:
        super().__init__(asked, queue, cause)
        self.asked = asked
        self.queue = queue
        self.cause = cause

    @property
    def reason(self) -> Refusing:
        """Return why the queue that the set named takes no message."""
        return self.cause if self.queue == self.asked else Refusing.FANOUT

    @property
    def why(self) -> str:
        """Return the same in words."""
        words = f"queue {shownName(self.queue)} is {self.cause.value}"
        if self.queue != self.asked:
            words += f", and sets of {shownName(self.asked)} go there as well"
        return words

    def __str__(self) -> str:
        """Return the reply and the reason, for the log."""
        return f"{super().__str__()}: {self.why}"


class NotANumber(QueueError):
    """The body of an add is no number."""

    reply = b"CLIENT_ERROR not a number"


class BadPacket(QueueError):
    """A packet of the binary protocol has more, or less, than its opcode takes."""

    reply = b"CLIENT_ERROR invalid arguments"


class LineTooLong(QueueError):
    """A line did not end within the longest line allowed."""

    reply = b"CLIENT_ERROR line too long"
    closes = True


class BadChunk(QueueError):
    """A body was not followed by CR LF: nobody knows where it ends."""

    reply = b"CLIENT_ERROR bad data chunk"
    closes = True


class BodyTooLarge(QueueError):
    """A body is larger than --max-body."""

    reply = b"SERVER_ERROR object too large for cache"


class OutOfMemory(QueueError):
    """Too many bodies are coming, and too many wait, for what --max-buffered allows."""

    reply = b"SERVER_ERROR out of memory storing object"


class BodyTimedOut(QueueError):
    """Nothing came of a body for --body-timeout, or too little while others waited."""

    reply = b"CLIENT_ERROR body timed out"
    closes = True


class FlushAllDisabled(QueueError):
    """flush_all came to a server that was started without --enable-flush-all."""

    reply = b"CLIENT_ERROR flush_all not allowed"


class TooManyConnections(QueueError):
    """One connection more than --max-connections."""

    reply = b"SERVER_ERROR too many open connections"
    closes = True


class BadToken(QueueError):
    """A flag of the meta protocol has behind its letter what it does not take."""

    reply = b"CLIENT_ERROR bad token in command line format"


class DuplicateFlag(QueueError):
    """A line of the meta protocol has the same flag twice."""

    reply = b"CLIENT_ERROR duplicate flag"


class InvalidFlag(QueueError):
    """A line of the meta protocol has a flag that nobody knows there."""

    reply = b"CLIENT_ERROR invalid flag"


class InvalidMode(QueueError):
    """The mode of a set in the meta protocol is none."""

    reply = b"CLIENT_ERROR invalid mode for ms M token"


class LongOpaque(QueueError):
    """The opaque of a line of the meta protocol has more than 32 bytes."""

    reply = b"CLIENT_ERROR opaque token too long"


class KeyNotDecoded(QueueError):
    """A key of the meta protocol is said to be base64, and is not."""

    reply = b"CLIENT_ERROR error decoding key"


class Meaningless(QueueError):
    """Something of memcached's would do what a queue does not."""

    def __init__(self, what: bytes) -> None:
        super().__init__(what)
        self.reply = b"CLIENT_ERROR %b has no meaning for a queue" % what


class OpenUnseen(QueueError):
    """A message is to be opened, and its body not to be told."""

    reply = b"CLIENT_ERROR open takes the flag v"


class StoreError(QueueError):
    """The store could not carry out one command; the next one may succeed."""

    #: Letters of the reason that a client is told.
    most = 200

    def __init__(self, why: str) -> None:
        super().__init__(why)
        line = " ".join(why.split())[: self.most]
        self.reply = b"SERVER_ERROR " + line.encode("utf-8", "backslashreplace")

    def __str__(self) -> str:
        """Return why, for the log."""
        return str(self.args[0])


class OutOfSpace(StoreError):
    """There is no room on the disk, or less than --min-free."""

    def __init__(self) -> None:
        super().__init__("out of disk space")


class DamagedMessage(StoreError):
    """A stored message is not what was once written; it was set aside."""

    def __init__(self, why: str) -> None:
        super().__init__(f"damaged message set aside: {why}")


class RulesRefused(StoreError):
    """Rules cannot be read again, or be changed as asked: they stay as they are."""

    most = 1000


class ImportRefused(QueueError):
    """What an import asks for cannot be; nothing of its chunk is done."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.reply = b"SERVER_ERROR import: " + why.encode("utf-8", "backslashreplace")


class RulesNotKept(RulesRefused):
    """Rules cannot be written down: the disk is full, or fails."""


class StoreFailed(StoreError):
    """The store cannot go on at all: the process has to end.

    :cvar status: the exit status; 1 where a restart may help.
    """

    closes = True
    status: int = 1


class DamagedStore(StoreFailed):
    """The store met bytes that are not what was once written, and cannot go on."""

    status = NEEDS_A_PERSON


class HomeGone(StoreFailed):
    """The name of the home does not lead any more to what the server has open."""

    status = NEEDS_A_PERSON

    def __init__(self, path: str, where: str) -> None:
        """Name the ``path`` that leads elsewhere.

        :param where: what was stored is there, in words.
        """
        super().__init__(
            f"{path} was moved, exchanged or removed under this process, which stores "
            f"nothing more; what it stored is {where}"
        )
        # Where files are is no client's business.
        self.reply = b"SERVER_ERROR the home was moved, exchanged or removed"


class StartError(Exception):
    """A start that cannot be: the message is one line that says what to do.

    :cvar status: the exit status; 1 where a restart may help.
    """

    status: int = 1


class CommandError(Exception):
    """A command of ``memq`` that cannot go on: one line for the person who runs it.

    It is silent without words.

    :ivar status: the exit status; 3 where the server refused what was asked.
    """

    def __init__(self, words: str, status: int = 1) -> None:
        super().__init__(words)
        self.status = status


class OptionError(StartError):
    """An option whose value is not allowed."""

    def __init__(self, option: str, value: object, allowed: str) -> None:
        """Name the ``option`` (as typed), its ``value`` and what is ``allowed``."""
        super().__init__(f"{option} {value}: {allowed}")


class ConfigError(StartError):
    """A configuration file that cannot be read, or that says what is not allowed."""

    def __init__(self, path: str, line: int | None, why: str) -> None:
        """Name the file, the ``line`` from 1 if there is one, and ``why``."""
        where = path if line is None else f"{path} line {line}"
        super().__init__(f"{where}: {why}")


class HomeError(StartError):
    """A home directory that cannot be used now: held, no room, a failing disk."""


class HomeHeld(HomeError):
    """A home directory that another process holds."""


class UnusableHome(HomeError):
    """A home that no restart makes usable: missing rights, or not ours to read."""

    status = NEEDS_A_PERSON


class DamagedHome(UnusableHome):
    """A home with something damaged or missing; --skip-damaged reads the rest."""
