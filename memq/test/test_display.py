"""Text that others sent is shown as they wrote it, and never breaks a line."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.display import choice, megabytes, numbered, shownCommand, shownName, shownText
from memq.errors import BadLine
from memq.wire import extensions as dialect
from memq.wire import text as wire
from memq.wire.foreign import Foreign
from memq.wire.forms import GETS, NUMBERED, SILENT
from memq.wire.words import Refused


class ShownTests(SynchronousTestCase):
    """Texts, names and commands."""

    def test_letters(self) -> None:
        """Letters of any script are left as they are."""
        for text in ("", "jobs", "a b", "队列", "очередь", "ä\\b'\"", "🎈"):
            self.assertEqual(shownText(text), text)

    def test_controls(self) -> None:
        """Characters that break lines, drive a terminal or turn text are escaped."""
        for text, shown in (
            ("a\nb\r\tc\0", r"a\nb\r\tc\x00"),
            ("\x1b[2J\x7f", r"\x1b[2J\x7f"),
            ("\x85\x9b", r"\x85\x9b"),
            ("队\u2028\u2029\u202e列", r"队\u2028\u2029\u202e列"),
            ("\udcff\U000e0001", r"\udcff\U000e0001"),
        ):
            self.assertEqual(shownText(text), shown)
            self.assertTrue(shown.isprintable())

    def test_megabytes(self) -> None:
        """Bytes are told as megabytes."""
        self.assertEqual(megabytes(1_550_000), "1.5 MB")

    def test_sentences(self) -> None:
        """Numbers and choices read as in a sentence."""
        told = [numbered(number, "queue") for number in (0, 1, 2)]
        self.assertEqual(told, ["0 queues", "1 queue", "2 queues"])
        told = [choice(words) for words in ("a", "ab", "abc")]
        self.assertEqual(told, ["a", "a or b", "a, b or c"])

    def test_names(self) -> None:
        """A name is shown as it is written, and what is no UTF-8 of it in escapes."""
        for name, shown in (
            (b"jobs", "jobs"),
            ("队列".encode(), "队列"),
            ("队列".encode()[:-1], r"队\xe5\x88"),
            (b"\xff\x9b", r"\xff\x9b"),
            ("a\u2028\x9b".encode(), r"a\u2028\x9b"),
            (b"a\nb", r"a\nb"),
            (b"a b", '"a b"'),
            (b"", '""'),
        ):
            self.assertEqual(shownName(name), shown)

    def test_commands(self) -> None:
        """A command is its word, its names, and what it has beside these."""
        name = "队列".encode()
        for command, shown in (
            (wire.Set(name, 0, 5), "set 队列 flags=0 size=5 exptime=0 delay=0"),
            (
                wire.Set(b"q", 1, 5, SILENT),
                "set q flags=1 size=5 noreply exptime=0 delay=0",
            ),
            (wire.Get((name, b"\xff"), NUMBERED), r"get 队列 \xff withSequence"),
            (wire.Version(), "version"),
            (
                dialect.Read(b"q", b"q/open", None, True, False, False, False),
                "read q q/open open delay=0",
            ),
            (
                dialect.Reads(
                    (
                        dialect.plain(b"a", GETS),
                        dialect.Read(name, b"x/peek", 5, False, False, False, True),
                    )
                ),
                "reads read a a delay=0 read 队列 x/peek wait=5 peek delay=0",
            ),
            (Foreign("HTTP"), "foreign name=HTTP"),
            (
                Refused(BadLine()),
                "refused error=CLIENT_ERROR bad command line format",
            ),
        ):
            self.assertEqual(shownCommand(command), shown)
