"""The errors say what a client is told."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import (
    BadLine,
    ConfigError,
    DamagedMessage,
    OptionError,
    QueueError,
    StoreError,
    StoreFailed,
)


class ErrorTests(SynchronousTestCase):
    """The words of errors."""

    def test_asText(self) -> None:
        """An error reads as its reply."""
        self.assertEqual(str(BadLine()), "CLIENT_ERROR bad command line format")

    def test_storeErrorIsOneLine(self) -> None:
        """A store's words become one line, of bounded length, in any script."""
        error = StoreError("disk\r\nSTORED\r\n 满")
        self.assertEqual(error.reply, "SERVER_ERROR disk STORED 满".encode())
        self.assertLessEqual(len(StoreError("x" * 5000).reply), 213)

    def test_storeErrorAsText(self) -> None:
        """In the log, an error of the store says why and no more."""
        self.assertEqual(str(StoreError("why")), "why")

    def test_damagedMessage(self) -> None:
        """A damaged message is said to be set aside."""
        self.assertEqual(
            DamagedMessage("message 3").reply,
            b"SERVER_ERROR damaged message set aside: message 3",
        )

    def test_closing(self) -> None:
        """A store that has failed closes connections; one error does not."""
        self.assertTrue(StoreFailed("gone").closes)
        self.assertFalse(StoreError("once").closes)

    def test_unsaid(self) -> None:
        """An error that has no reply of its own is an internal one."""
        self.assertEqual(QueueError().reply, b"SERVER_ERROR internal error")
        self.assertFalse(QueueError().closes)

    def test_option(self) -> None:
        """A bad option is named with its value and what is allowed."""
        self.assertEqual(
            str(OptionError("--port", "x", "must be a number")),
            "--port x: must be a number",
        )

    def test_config(self) -> None:
        """A bad configuration file is named, with the line if there is one."""
        self.assertEqual(str(ConfigError("/a", None, "is bad")), "/a: is bad")
        self.assertEqual(str(ConfigError("/a", 3, "is bad")), "/a line 3: is bad")
