"""Commands and replies of a client."""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from memq.client.connection import (
    Connection,
    ConnectionLost,
    Message,
    ServerRefused,
)
from memq.test.support.commandline import Script
from testkit.wire import cut


class ConnectionTests(SynchronousTestCase):
    """Replies, whole and cut."""

    def test_ask(self) -> None:
        """A command is answered a line; an error is raised."""
        script = Script(self, b"OK\r\n", b"NOT_FOUND\r\n", b"CLIENT_ERROR no\r\n")
        with script.connection() as connection:
            self.assertEqual(connection.ask(b"resume q"), b"OK")
            self.assertEqual(connection.ask(b"resume q"), b"NOT_FOUND")
            error = self.assertRaises(ServerRefused, connection.ask, b"resume /")
            self.assertEqual(str(error), "the server answered: CLIENT_ERROR no")
        self.assertEqual(script.sent, b"resume q\r\nresume q\r\nresume /\r\n")

    def test_forbidden(self) -> None:
        """Who has not the right is told so, with a status of its own."""
        script = Script(
            *(self, b"CLIENT_ERROR no\r\n", b"CLIENT_ERROR not allowed\r\n"),
            b"CLIENT_ERROR unauthenticated\r\n",
        )
        with script.connection() as connection:
            error = self.assertRaises(ServerRefused, connection.ask, b"resume q")
            self.assertEqual(error.status, 1)
            error = self.assertRaises(ServerRefused, connection.ask, b"resume q")
            self.assertIn("not allowed; this user has not the right", str(error))
            self.assertEqual(error.status, 3)
            error = self.assertRaises(ServerRefused, connection.ask, b"resume q")
            self.assertEqual(error.status, 3)

    def test_web(self) -> None:
        """Who asks the port of the web is told so."""
        with Script(self, b"HTTP/1.1 400 Bad Request\r\n").connection() as connection:
            error = self.assertRaises(ServerRefused, list, connection.figures())
        self.assertIn("this is a port of the web", str(error))

    def test_messages(self) -> None:
        """Messages are read to the end of a reply, with a number if it is there."""
        script = Script(
            self, b"VALUE q 7 4\r\nEND\r\r\nVALUE q/open 0 0 5\r\n\r\nEND\r\n"
        )
        with script.connection() as connection:
            connection.send(b"get q\r\n")
            self.assertEqual(
                list(connection.messages()),
                [Message(b"q", 7, b"END\r"), Message(b"q/open", 0, b"", 5)],
            )

    def test_errorInMessages(self) -> None:
        """An error in the place of a message is raised after those before it."""
        script = Script(self, b"VALUE q 0 1\r\na\r\nSERVER_ERROR damaged\r\n")
        with script.connection() as connection:
            connection.send(b"get q\r\n")
            messages = connection.messages()
            self.assertEqual(next(messages).body, b"a")
            self.assertRaises(ServerRefused, next, messages)

    def test_figures(self) -> None:
        """Figures are names and values; an error is raised."""
        script = Script(self, b"STAT a 1\r\nSTAT b x y\r\nEND\r\n", b"ERROR\r\n")
        with script.connection() as connection:
            told = list(connection.figures(b"queue"))
            self.assertEqual(told, [(b"a", b"1"), (b"b", b"x y")])
            self.assertRaises(ServerRefused, list, connection.figures())
        self.assertEqual(script.sent, b"stats queue\r\nstats\r\n")

    def test_replies(self) -> None:
        """Replies to pipelined commands come one by one."""
        script = Script(self, b"STORED\r\nNOT_STORED\r\nSTORED\r\n")
        with script.connection() as connection:
            connection.send(b"x\r\n")
            told = list(connection.replies(2))
            self.assertEqual(told, [b"STORED\r\n", b"NOT_STORED\r\n"])
            self.assertEqual(list(connection.replies(1)), [b"STORED\r\n"])

    def test_cut(self) -> None:
        """A reply that is cut anywhere is told as a lost connection."""
        whole = b"VALUE q 0 2\r\nab\r\nEND\r\n"
        for size in range(len(whole)):
            with Script(self, whole[:size]).connection() as connection:
                connection.send(b"get q\r\n")
                self.assertRaises(ConnectionLost, list, connection.messages())
        with Script(self, b"STORED\r\nSTOR").connection() as connection:
            connection.send(b"x\r\n")
            replies = connection.replies(2)
            self.assertEqual(next(replies), b"STORED\r\n")
            self.assertRaises(ConnectionLost, next, replies)

    def test_reset(self) -> None:
        """So is a connection that the system reports as broken, whatever goes on."""
        for act in (
            Connection.line,
            lambda connection: connection.body(1),
            lambda connection: list(connection.replies(1)),
            lambda connection: connection.send(b"x"),
        ):
            with socket.create_server(("127.0.0.1", 0)) as listening:
                theirs = socket.create_connection(listening.getsockname())
                ours, _ = listening.accept()
            cut(ours)
            with Connection(theirs) as connection:
                error = self.assertRaises(ConnectionLost, act, connection)
                self.assertIn("closed the connection: Connection reset", str(error))
