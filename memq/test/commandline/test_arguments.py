"""Arguments of the command line."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from memq.commandline.arguments import Parser, addCommand, queueName, seconds, whole

if TYPE_CHECKING:
    from collections.abc import Callable


class KindTests(SynchronousTestCase):
    """Kinds of values."""

    def check(
        self, read: Callable[[str], Any], good: dict[str, Any], *bad: str
    ) -> None:
        """Check what is read of good words, and that bad ones are refused."""
        for text, expected in good.items():
            self.assertEqual(read(text), expected)
        for text in bad:
            self.assertRaises(ArgumentTypeError, read, text)

    def test_queues(self) -> None:
        """A queue has a name as the protocol has it."""
        good = {"q": b"q", "队": "队".encode(), "\udcff": b"\xff"}
        self.check(queueName, good, "", "a b", "a/b", "a\x7f", "x" * 251)

    def test_whole(self) -> None:
        """A whole number has digits, and bounds."""
        bad = ("0", "11", "-1", "+1", "1.0", "", "x", "9" * 10_000, "٣")
        self.check(whole(1, 10), {"1": 1, "10": 10}, *bad)

    def test_seconds(self) -> None:
        """Seconds may have parts, and be without end."""
        good = {"0": 0.0, "1.5": 1.5, "inf": float("inf")}
        self.check(seconds, good, "-1", "nan", "", "1s")


class ParserTests(SynchronousTestCase):
    """Words of a subcommand."""

    def parse(self, line: str) -> Namespace:
        """Parse the words of a line."""
        parser = Parser("memq")
        commands = parser.add_subparsers()
        one = addCommand(commands.add_parser, "one", lambda *_: 0, "One.", queues="")
        one.rest = "words"
        one.add_argument("words", nargs="*")
        one.add_argument("-n", type=int)
        addCommand(commands.add_parser, "two", lambda *_: 0, "Two.", queues="+")
        addCommand(commands.add_parser, "none", lambda *_: 0, "None.")
        return parser.parse_args(line.split())

    def test_mixed(self) -> None:
        """Options stand anywhere before --, behind which there are only words."""
        for line, words in (
            ("one q a b -n 1", ["a", "b"]),
            ("one q -n 1 a b", ["a", "b"]),
            ("one -n 1 q a", ["a"]),
            ("one q a -n 1 b", ["a", "b"]),
            ("one q -n 1", []),
            ("one q a -n 1 -- -n 2 b", ["a", "-n", "2", "b"]),
            ("one q -n 1 -- sh -c x -- y", ["sh", "-c", "x", "--", "y"]),
            ("one q -n 1 --", []),
        ):
            options = self.parse(line)
            self.assertEqual((options.queue, options.n), (b"q", 1), line)
            self.assertEqual(options.words, words, line)

    def test_dashes(self) -> None:
        """Without an argument that takes them all, -- makes words of what follows."""
        self.assertEqual(self.parse("two -- -q r").queue, [b"-q", b"r"])
        self.assertEqual(self.parse("two q r --server x").queue, [b"q", b"r"])

    def test_mistakes(self) -> None:
        """A mistake is one line, which names the command."""
        said: list[str] = []
        self.patch(Parser, "_print_message", lambda self, text, file: said.append(text))
        for line in ("one q -n x", "one", "one a/b", "none x", "one q --none"):
            error = self.assertRaises(SystemExit, self.parse, line)
            self.assertEqual(error.code, 2)
        for text in said:
            self.assertRegex(
                text, r"^memq (one|none): .* \(see memq (one|none) --help\)\n$"
            )
        self.assertEqual(len(said), 5)

    def test_unprintable(self) -> None:
        """What a terminal would obey has escapes in a mistake."""
        said: list[str] = []
        self.patch(Parser, "_print_message", lambda self, text, file: said.append(text))
        self.assertRaises(SystemExit, self.parse, "two q --\x1b]0;\u202e\udcff")
        (line,) = said
        self.assertIn(r"unrecognized arguments: --\x1b]0;\u202e\udcff (see", line)
