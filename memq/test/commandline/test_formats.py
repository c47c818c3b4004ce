"""Formats of bodies in streams and directories."""

from __future__ import annotations

import os
import stat
import threading

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from memq.client.connection import Message
from memq.commandline import formats
from memq.commandline.formats import (
    LINE,
    NUL,
    Directory,
    Sink,
    Splitter,
    packMessage,
    unpackMessage,
)
from memq.errors import CommandError
from testkit.servers import PATIENCE


def message(body: bytes, flags: int = 0, number: int | None = None) -> Message:
    """Return a message."""
    return Message(b"q", flags, body, number)


class SplitterTests(SynchronousTestCase):
    """Messages of a stream."""

    def test_pieces(self) -> None:
        """However a stream comes, its messages are the same."""
        stream = b"one\n\ntwo\r\nlast"
        for size in (1, 2, 5, len(stream)):
            splitter, found = Splitter(LINE), []
            for start in range(0, len(stream), size):
                found += splitter.feed(stream[start : start + size])
            self.assertEqual(found + splitter.last(), [b"one", b"", b"two\r", b"last"])

    def test_end(self) -> None:
        """A stream that ends as its messages do has no last one."""
        splitter = Splitter(NUL)
        self.assertEqual(splitter.feed(b"a\nb\0"), [b"a\nb"])
        self.assertEqual(splitter.last(), [])

    def test_large(self) -> None:
        """A message that no server takes is not collected for ever."""
        self.patch(formats, "LARGEST", 10)
        splitter = Splitter(LINE)
        splitter.feed(b"1234567890")
        error = self.assertRaises(CommandError, splitter.feed, b"1")
        self.assertEqual(str(error), "a message has more than 10 bytes")


class JSONTests(SynchronousTestCase):
    """Messages as lines of JSON."""

    @given(st.binary(), st.integers(0, 4294967295))
    def test_thereAndBack(self, body: bytes, flags: int) -> None:
        """Any body and flags come back, from one line."""
        line = packMessage(message(body, flags))
        self.assertNotIn(b"\n", line)
        self.assertEqual(unpackMessage(line), (body, flags))

    def test_lines(self) -> None:
        """UTF-8 is a string, other bytes are base64; flags and number may be there."""
        for told, expected in (
            (message("队".encode()), '{"body": "队"}'),
            (message(b"\xff", 0, 5), '{"base64": "/w==", "number": 5}'),
            (message(b"", 7), '{"body": "", "flags": 7}'),
        ):
            self.assertEqual(packMessage(told).decode(), expected)

    def test_wrong(self) -> None:
        """A line that is no message is told."""
        for line in (
            *(b"", b"{", b"[]", b"1", b"{}", b'{"body": 1}', b'{"base64": "?"}'),
            *(b'{"body": "", "flags": -1}', b'{"body": "", "flags": true}'),
            b'{"body": "\\ud800"}',
        ):
            error = self.assertRaises(CommandError, unpackMessage, line)
            self.assertEqual(str(error), f"no message in JSON: {line.decode()}")


class SinkTests(SynchronousTestCase):
    """Messages that are written."""

    def test_file(self) -> None:
        """In a file each has its end, and is there when that is settled."""
        path = self.mktemp()
        with open(path, "wb") as file:
            for end, json in ((LINE, False), (NUL, False), (LINE, True)):
                sink = Sink(file.fileno(), end, json)
                sink.write(message(b"a"))
                sink.write(message(b"b"))
                sink.settle()
                sink.close()
        with open(path, "rb") as file:
            expected = b'a\nb\na\0b\0{"body": "a"}\n{"body": "b"}\n'
            self.assertEqual(file.read(), expected)

    def test_large(self) -> None:
        """Large ones are written before the end of a batch."""
        path = self.mktemp()
        with open(path, "wb") as file:
            sink = Sink(file.fileno(), b"")
            sink.write(message(bytes(100_000)))
            self.assertEqual(os.path.getsize(path), 100_000)

    def test_pipe(self) -> None:
        """In a pipe a message is settled when it was read."""
        reading, writing = os.pipe()
        sink = Sink(writing, LINE)
        sink.write(message(b"a"))
        settled = threading.Event()

        def settle() -> None:
            sink.settle()
            settled.set()

        thread = threading.Thread(target=settle)
        thread.start()
        self.assertFalse(settled.wait(0.05))
        self.assertEqual(os.read(reading, 100), b"a\n")
        self.assertTrue(settled.wait(PATIENCE))
        thread.join(PATIENCE)
        os.close(reading)
        sink.write(message(b"b"))
        self.assertEqual(self.assertRaises(CommandError, sink.settle).status, 141)
        os.close(writing)

    def test_leftInPipe(self) -> None:
        """A message that its reader has left in the pipe is not settled."""
        reading, writing = os.pipe()
        sink = Sink(writing, LINE)
        sink.write(message(b"abc"))
        closer = threading.Timer(0.01, os.close, [reading])
        closer.start()
        error = self.assertRaises(CommandError, sink.settle)
        self.assertEqual((str(error), error.status), ("", 141))
        closer.join(PATIENCE)
        os.close(writing)

    def test_nothing(self) -> None:
        """What is neither file nor pipe is only written to."""
        with open(os.devnull, "wb") as file:
            sink = Sink(file.fileno(), LINE)
            sink.write(message(b"a"))
            sink.settle()


class DirectoryTests(SynchronousTestCase):
    """Messages that become files."""

    def write(self, path: str, *bodies: bytes) -> None:
        """Write messages to a directory."""
        directory = Directory(path)
        for body in bodies:
            directory.write(message(body))
        directory.settle()
        directory.close()

    def read(self, path: str) -> dict[str, bytes]:
        """Return the files of a directory."""
        found = {}
        for name in os.listdir(path):
            with open(os.path.join(path, name), "rb") as file:
                found[name] = file.read()
        return found

    def test_files(self) -> None:
        """Each is a file; numbers go on behind those that are there."""
        path = os.path.join(self.mktemp(), "new")
        self.write(path, b"a", b"")
        self.write(path, b"\0")
        expected = {"0000000001": b"a", "0000000002": b"", "0000000003": b"\0"}
        self.assertEqual(self.read(path), expected)
        self.assertTrue(stat.S_ISDIR(os.stat(path).st_mode))

    def test_twoWriters(self) -> None:
        """Two that write at a time do not take each other's names."""
        path = self.mktemp()
        one, other = Directory(path), Directory(path)
        one.write(message(b"a"))
        other.write(message(b"b"))
        one.write(message(b"c"))
        one.close()
        other.close()
        self.assertEqual(sorted(self.read(path).values()), [b"a", b"b", b"c"])
