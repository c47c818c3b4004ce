"""Tests for testkit.systemcalls."""

from __future__ import annotations

import os
from math import inf

from twisted.trial.unittest import SynchronousTestCase

from testkit.systemcalls import moments, readCalls, requireStrace

#: What strace writes: /log is a file, "ab" is written to it, and "cd" is sent.
TRACE = r"""
7     openat(AT_FDCWD<\x2f>, "\x6c\x6f\x67", O_RDWR, 0600) = 5<\x2f\x6c\x6f\x67>
7     pwrite64(5<\x2f\x6c\x6f\x67>, "\x61\x62", 2, 4096 <unfinished ...>
12345 fdatasync(6<\x2f\x6c\x6f\x67>) = 0
7     <... pwrite64 resumed>) = 2
7     +++ exited with 0 +++
8     sendto(9<TCP:[127.0.0.1:1->127.0.0.1:1234]>, "\x63\x64", 2, 0, NULL, 0) = 1
8     close(0<\x2f\x64<char 1:3>>) = 0
8     unlink("\x6e\x6f") = -1 ENOENT (No such file or directory)
8     fsync(6<\x2f\x6c\x6f\x67>) = ?
8     writev(1<\x70>, [{iov_base="\x61"}, {iov_base="\x62"}], 2 <unfinished ...>
"""


class ReadTests(SynchronousTestCase):
    """What a trace says."""

    def setUp(self) -> None:
        """Read it."""
        self.calls = readCalls(TRACE.splitlines(keepends=True))

    def test_names(self) -> None:
        """Each call is there once, in the order of the begins."""
        self.assertEqual(
            [call.name for call in self.calls],
            [
                *("openat", "pwrite64", "fdatasync", "sendto"),
                *("close", "unlink", "fsync", "writev"),
            ],
        )

    def test_moments(self) -> None:
        """A call that another one comes into ends after it; one may never end."""
        write, sync = self.calls[1:3]
        self.assertTrue(write.began < sync.began < sync.ended < write.ended)
        self.assertEqual(self.calls[-1].ended, inf)
        order = [call.name for _, call in moments(self.calls)]
        self.assertEqual(
            order[:6],
            ["openat"] * 2 + ["pwrite64", "fdatasync", "fdatasync", "pwrite64"],
        )
        self.assertEqual(len(order), 2 * len(self.calls) - 1)

    def test_results(self) -> None:
        """A descriptor, a number, a failure, and what never returned."""
        results = [call.result for call in self.calls]
        self.assertEqual(results, [5, 2, 0, 1, 0, -1, -1, -1])

    def test_arguments(self) -> None:
        """Bytes are those that were taken, and numbers stand behind them."""
        write, send = self.calls[1], self.calls[3]
        self.assertEqual((write.file, write.path, write.data), (5, "/log", b"ab"))
        self.assertEqual(write.numbers, [2, 4096])
        self.assertEqual((send.file, send.path, send.data), (9, "", b"c"))
        self.assertEqual([call.peer for call in (write, send)], [None, 1234])
        self.assertEqual(self.calls[5].file, -1)
        self.assertEqual(self.calls[7].strings, [b"a", b"b"])


class RequireTests(SynchronousTestCase):
    """Where system calls cannot be traced."""

    def test_missing(self) -> None:
        """A test that needs strace says so."""
        error = self.assertRaises(AssertionError, requireStrace, "no-such-strace")
        self.assertIn("it is not installed", str(error))

    def test_forbidden(self) -> None:
        """It says what strace says."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\necho ptrace: Operation not permitted >&2\nexit 1\n")
        os.chmod(path, 0o700)
        error = self.assertRaises(AssertionError, requireStrace, path)
        self.assertIn("Operation not permitted", str(error))
        self.assertIn("SYS_PTRACE", str(error))
