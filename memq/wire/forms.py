"""Reply forms: how the replies to a command are written, in whichever protocol it came.

A command carries its form to whatever answers it, and nothing on that way knows the
protocol.  Here are the forms of memcached's text protocol.  Commands of text and meta
are joined if their forms are one object, and those forms never change; those of the
binary protocol take the opaques of the requests that join them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from memq.errors import QueueError
    from memq.message import Message

_CRLF = b"\r\n"
STORED = b"STORED\r\n"
NOT_STORED = b"NOT_STORED\r\n"
DELETED = b"DELETED\r\n"
NOT_FOUND = b"NOT_FOUND\r\n"
END = b"END\r\n"
OK = b"OK\r\n"
TOUCHED = b"TOUCHED\r\n"
RESET = b"RESET\r\n"


class Details(NamedTuple):
    """The figures of a message that only its queue knows.

    :ivar deliveries: how often it was given back.
    :ivar age: seconds since it was set.
    :ivar left: seconds until it expires, -1 for never.
    """

    deliveries: int
    age: int
    left: int


class Form:
    """The form of the replies to one command.

    :ivar done: the reply when it is carried out, and there is nothing to show.
    :ivar none: the reply when there is no message, or no queue.
    :ivar tail: the bytes behind a body.
    """

    __slots__ = ("done", "none", "tail")

    #: The protocol, as the log calls it.
    way = "text"
    #: Whether it shows what only a queue knows of a message, which takes a look more.
    describes = False
    #: Whether it shows the body.
    showsBody = True
    #: Whether it shows the number of a message that is stored.
    numbers = False

    def __init__(
        self, done: bytes = b"", none: bytes = b"", tail: bytes = _CRLF
    ) -> None:
        self.done = done
        self.none = none
        self.tail = tail

    def __str__(self) -> str:
        """Return what the log calls it, nothing if it is as any other."""
        return ""

    def __repr__(self) -> str:
        """Return its class and the same."""
        return f"<{type(self).__name__} {self}>"

    @property
    def inner(self) -> Form:
        """Return the form of each message, where a reply has many before its end."""
        return self

    def stored(self, number: int) -> bytes:
        """Return the reply that tells that a message is stored.

        :param number: its number in its queue, 0 if it has none.
        """
        return self.done

    def error(self, error: QueueError) -> bytes:
        """Return the reply that tells an error."""
        return error.reply + _CRLF

    def head(
        self, key: bytes, message: Message, details: Details | None = None
    ) -> bytes:
        """Return what stands before the body of a message.

        :param key: the name of its queue, as it was asked for.
        :param details: what is known of it; None where the form does not show that.
        """
        raise NotImplementedError

    def value(
        self, key: bytes, message: Message, details: Details | None = None
    ) -> bytes:
        """Return all of the reply that shows a message that is not in parts."""
        return b"%b%b%b" % (self.head(key, message, details), message.body, self.tail)

    def figures(self, lines: bytes) -> bytes:
        """Return figures, each a line ``STAT <name> <value>``, perhaps with the END."""
        return lines

    def moved(self, count: int) -> bytes:
        """Return the reply that tells how many messages were moved."""
        return b"MOVED %d\r\n" % count

    def copy(
        self, queue: bytes, flags: int, body: bytes | None, size: int, number: int
    ) -> bytes:
        """Return a copy of a message that was set.

        :param body: None where it is not shown, for it is too large.
        """
        line = b"%b %d %d %d\r\n" % (queue, flags, size, number)
        return b"LARGE " + line if body is None else b"VALUE %b%b\r\n" % (line, body)

    def dropped(self, count: int) -> bytes:
        """Return the line that tells how many copies were dropped."""
        return b"DROPPED %d\r\n" % count

    def version(self, numbers: bytes) -> bytes:
        """Return the reply that tells a version."""
        return b"VERSION %b\r\n" % numbers


class Silent(Form):
    """The form of a command with noreply: nothing."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return the word that asks for it."""
        return "noreply"

    def error(self, error: QueueError) -> bytes:
        """Return nothing."""
        return b""


class Values(Form):
    """The form of what a get finds."""

    __slots__ = ("_inner",)

    def __init__(self, end: bytes = END) -> None:
        super().__init__(end, end, _CRLF + end)
        self._inner: Form = type(self)(b"") if end else self

    @property
    def inner(self) -> Form:
        """Return the same without the END."""
        return self._inner

    def head(
        self, key: bytes, message: Message, details: Details | None = None
    ) -> bytes:
        """Return the line."""
        return b"VALUE %b %d %d\r\n" % (key, message.flags, message.size)

    def value(
        self, key: bytes, message: Message, details: Details | None = None
    ) -> bytes:
        """Return the line, the body and its end; faster than in general."""
        body = message.body
        shown = key, message.flags, len(body), body, self.tail
        return b"VALUE %b %d %d\r\n%b%b" % shown


class NumberedValues(Values):
    """The form of what a gets finds, with the number of each message."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return what the log says of it."""
        return "withSequence"

    def head(
        self, key: bytes, message: Message, details: Details | None = None
    ) -> bytes:
        """Return the line."""
        _, sequence, flags, *_ = message
        return b"VALUE %b %d %d %d\r\n" % (key, flags, message.size, sequence)

    value = Form.value


#: Of a command that is answered an error, if anything.
PLAIN = Form()
SILENT = Silent()
SETS = Form(STORED, NOT_STORED)
DELETES = Form(DELETED, NOT_FOUND)
TOUCHES = Form(TOUCHED, NOT_FOUND)
CHANGES = Form(OK, NOT_FOUND)
ENDS = Form(END)
GETS = Values()
NUMBERED = NumberedValues()


def spoken(form: Form, noreply: bool) -> Form:
    """Return the form of a command, which is silent with noreply."""
    return SILENT if noreply else form
