"""Clients whose queues can be told at any moment of a trace.

Each has queues of its own and asks one thing after the other.  So after a power cut its
queues are as its first n commands left them, where n is not less than what it was
answered.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from testkit.wire import END, found, sets

if TYPE_CHECKING:
    from testkit.servers import Server
    from testkit.systemcalls import Call

#: A queue: messages ever set, ever taken, and the flags and bodies of what is in it.
State = tuple[int, int, tuple[tuple[int, bytes], ...]]

#: The beginning of flags, so that they are found in the log.
FLAGS = 0xE75C0000
#: The most commands of a client.
COMMANDS = 4096

_NONE: State = (0, 0, ())


class Command(NamedTuple):
    """A command of a client.

    :ivar verb: set, get, delete or flush_all.
    :ivar queue: the queue.
    :ivar flags: those of a set; no other message has them.
    :ivar body: that of a set.
    """

    verb: bytes
    queue: bytes = b""
    flags: int = 0
    body: bytes = b""

    @property
    def request(self) -> bytes:
        """Return what is sent."""
        if self.verb != b"set":
            return b"%b %b\r\n" % (self.verb, self.queue)
        return sets(self.queue, self.body, flags=self.flags)


class Client:
    """A client with queues of its own.

    :ivar commands: all that it has asked.
    :ivar states: its queues, before the first command and after each.
    :ivar taken: the flags of the message that each command took, None for none.
    """

    def __init__(
        self, server: Server, number: int, queues: dict[bytes, State], salt: int = 0
    ) -> None:
        """Connect.

        :param number: 0 to 3; its queues' names end in it.
        :param queues: those that it has already.
        :param salt: another one makes other messages, 0 to 3.
        """
        self._number = number
        self._salt = salt
        self.commands: list[Command] = []
        self.states = [
            {name: queues[name] for name in queues if name.endswith(self.queue(b""))}
        ]
        self.taken: list[int | None] = []
        self._replies: list[bytes] = []
        self._unread = 0
        self._wire = server.wire()
        self._port = self._wire.socket.getsockname()[1]

    def queue(self, name: bytes) -> bytes:
        """Return the whole name of a queue of its own."""
        return b"%b-%02d" % (name, self._number)

    @property
    def queues(self) -> dict[bytes, State]:
        """Its queues as they are now."""
        return self.states[-1]

    def set(self, queue: bytes, size: int) -> None:
        """Send a set of a body of so many bytes, that no other has; 16 or more."""
        assert len(self.commands) < COMMANDS
        client = self._salt << 2 | self._number
        number = client * COMMANDS + len(self.commands)
        first = number << 32
        body = b"".join(b"%016x" % n for n in range(first, first + size // 16 + 1))
        self.ask(Command(b"set", queue, FLAGS | number, body[:size]))

    def get(self, queue: bytes) -> None:
        """Send a get."""
        self.ask(Command(b"get", queue))

    def delete(self, queue: bytes) -> None:
        """Send a delete."""
        self.ask(Command(b"delete", queue))

    def ask(self, command: Command) -> None:
        """Send a command."""
        self._wire.send(command.request)
        self.expect(command, self._run(command))

    def expect(self, command: Command, reply: bytes = b"") -> None:
        """Remember a command with its reply, none when another client sent it."""
        self.commands.append(command)
        self._replies.append(reply)

    def overtake(self, command: Command) -> None:
        """Remember a command that another client sent, and that concerns all."""
        self._run(command)
        self.expect(command)

    def _run(self, command: Command) -> bytes:
        """Note what a command does, and return what is answered."""
        queues = dict(self.queues)
        self.states.append(queues)
        took = None
        reply = b"STORED\r\n"
        name = command.queue
        pushed, taken, messages = queues.get(name, _NONE)
        if command.verb == b"set":
            message = command.flags, command.body
            queues[name] = pushed + 1, taken, (*messages, message)
        elif command.verb == b"delete":
            del queues[name]
            reply = b"DELETED\r\n"
        elif command.verb == b"flush_all":
            queues.update({n: (queues[n][0], queues[n][0], ()) for n in queues})
            reply = b"OK\r\n"
        elif messages:
            took, body = messages[0]
            queues[name] = pushed, taken + 1, messages[1:]
            reply = found(name, body, took)
        else:
            reply = END
        self.taken.append(took)
        return reply

    def answered(self) -> None:
        """Read the replies to all that was asked.

        :raise AssertionError: when they are not what they should be.
        """
        reply = b"".join(self._replies[self._unread :])
        self._unread = len(self._replies)
        got = self._wire.read(len(reply))
        assert got == reply, f"{got[:200]!r} is not {reply[:200]!r}"

    def close(self) -> None:
        """Disconnect."""
        self._wire.close()

    def told(self, calls: list[Call]) -> list[float]:
        """Return the moments at which the replies began to be sent."""
        sends = [call for call in calls if call.peer == self._port and call.result > 0]
        assert b"".join(call.data for call in sends) == b"".join(self._replies)
        begins = [0, *accumulate(call.result for call in sends)]
        offsets = [0, *accumulate(map(len, self._replies))]
        moments = [call.began for call in sends]
        # A command of another client is told with the next reply, perhaps never.
        moments.append(calls[-1].began + 1)
        return [moments[bisect_right(begins, at) - 1] for at in offsets[:-1]]


def mismatch(client: Client, answered: int, there: dict[bytes, State]) -> str:
    """Return how queues are not those of a client, nothing when they are.

    :param answered: how many commands it had been answered.
    :param there: all queues that are there.
    """
    own = client.queue(b"")
    queues = {name: state for name, state in there.items() if name.endswith(own)}
    if queues in client.states[answered:]:
        return ""
    return f"client {own!r} after {answered} answers: " + "; ".join(
        f"{name!r} is {_words(queues.get(name, _NONE))} and was "
        f"{_words(client.states[answered].get(name, _NONE))}"
        for name in sorted({*queues, *client.states[answered]})
        if queues.get(name) != client.states[answered].get(name)
    )


def _words(state: State) -> str:
    pushed, taken, messages = state
    flags = [flags & 0xFFFF for flags, _ in messages]
    return f"{pushed}/{taken} {flags[:3]}...{flags[-3:]}"
