"""The grammar, line by line."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.errors import BadLine, QueueError, UnknownCommand, UnknownOption
from memq.interfaces import QueueCount
from memq.wire.text import (
    Archive,
    Checkpoint,
    Delete,
    FlushAll,
    Get,
    Quit,
    Refused,
    Set,
    Stats,
    Verbosity,
    Version,
    formatCounts,
    formatError,
    formatFigures,
    formatStats,
    formatValue,
    formatVersion,
    parse,
)

#: Any name of a queue.
names = some.binary(min_size=1, max_size=250).map(
    lambda name: bytes(
        byte if byte > 0x20 and byte not in b"\x7f/" else 0x21 for byte in name
    )
)


class GrammarTestCase(SynchronousTestCase):
    """Asks what a line is taken for."""

    def refused(
        self,
        line: bytes,
        error: type[QueueError],
        size: int | None = None,
        noreply: bool = False,
        closes: bool = False,
    ) -> None:
        """Assert that a line is refused so, with a body of ``size`` to swallow."""
        command = parse(line)
        assert isinstance(command, Refused), command
        self.assertEqual(
            (type(command.error), command.size, command.noreply, command.closes),
            (error, size, noreply, closes),
            line,
        )

    def unsized(
        self, line: bytes, error: type[QueueError], noreply: bool = False
    ) -> None:
        """Assert that a line is refused so, and closes: a body may follow."""
        self.refused(line, error, noreply=noreply, closes=True)


class LineTests(GrammarTestCase):
    """Lines in general."""

    def test_emptyLine(self) -> None:
        """An empty line is an ERROR, as is one of blanks."""
        self.refused(b"", UnknownCommand)
        self.refused(b"   ", UnknownCommand)

    def test_notACommand(self) -> None:
        """What is not a command is an ERROR."""
        for line in (b"bogus", b"get\tq", b"incr q 1", b"touch q 1"):
            self.refused(line, UnknownCommand)

    def test_capitals(self) -> None:
        """A command may be written in capitals, and in part; a name is what it is."""
        for line in (
            *(b"set Q 0 0 1", b"add Q 0 0 1", b"get Q q", b"gets Q", b"delete Q"),
            *(b"flush_all", b"stats queue", b"version", b"verbosity 1", b"quit"),
            *(b"db_checkpoint", b"db_archive", b"flush Q", b"pause Q reads"),
            *(b"resume Q", b"reload", b"monitor Q 1", b"confirm Q 1", b"dump_stats"),
            *(b"get Q/open", b"set Q/delay=5 0 0 1", b"get a/open Q/t=5"),
        ):
            word, *rest = line.split(b" ")
            for written in (
                word.upper(),
                word.capitalize(),
                word[:-1] + b"" + word[-1:].upper(),
            ):
                self.assertEqual(parse(b" ".join([written, *rest])), parse(line), line)
        self.refused(b"APPEND q 0 0 5", UnknownCommand, 5)
        self.refused(b"Touch q 0 noreply", UnknownCommand, noreply=True)

    def test_runsOfSpaces(self) -> None:
        """Runs of spaces separate words, and those at either end do not count."""
        self.assertEqual(parse(b"  get   a  b "), Get((b"a", b"b"), False))
        self.assertEqual(parse(b" version "), Version())

    def test_tabIsPartOfAWord(self) -> None:
        """A TAB does not separate, so it makes a bad name."""
        self.refused(b"get a\tb", BadLine)

    def test_getAlone(self) -> None:
        """GET alone is a get of nothing."""
        self.refused(b"GET", UnknownCommand)

    @settings(deadline=None)
    @given(some.binary(max_size=200))
    def test_neverRaises(self, line: bytes) -> None:
        """Any bytes are a command, or are refused."""
        parse(line)

    @settings(deadline=None)
    @given(
        some.lists(
            some.sampled_from(
                [
                    b"set",
                    b"get",
                    b"delete",
                    b"stats",
                    b"flush_all",
                    b"verbosity",
                    b"q",
                    b"0",
                    b"-1",
                    b"5",
                    b"noreply",
                    b"99999999999",
                    b"/",
                    b"",
                ]
            )
        )
    )
    def test_anyWords(self, words: list[bytes]) -> None:
        """Any words of the grammar in any order are a command, or are refused."""
        parse(b" ".join(words))


class NameTests(GrammarTestCase):
    """Queue names."""

    @settings(deadline=None)
    @given(some.lists(names, min_size=1))
    def test_anyNames(self, queues: list[bytes]) -> None:
        """A get of any names takes them as they are."""
        self.assertEqual(parse(b"get " + b" ".join(queues)), Get(tuple(queues), False))

    def test_length(self) -> None:
        """A name has 1 to 250 bytes."""
        self.assertEqual(parse(b"get " + b"n" * 250), Get((b"n" * 250,), False))
        self.refused(b"get " + b"n" * 251, BadLine)

    def test_anyByteAboveBlank(self) -> None:
        """Any byte above 0x20 but 0x7F and the slash is fine."""
        for byte in range(0x21, 0x100):
            name = bytes([byte])
            if name in b"\x7f/":
                self.refused(b"delete a" + name, BadLine)
            else:
                self.assertEqual(parse(b"get " + name), Get((name,), False))

    def test_controlCharacters(self) -> None:
        """A control character in a name is a bad line."""
        for byte in [*range(0x20), 0x7F]:
            self.refused(b"get a%cz" % byte, BadLine)

    def test_utf8(self) -> None:
        """A name may be UTF-8."""
        name = "队列".encode()
        self.assertEqual(parse(b"get " + name), Get((name,), False))

    def test_slash(self) -> None:
        """A slash begins an option; other commands than get and set know none."""
        self.refused(b"get q/x", UnknownOption)
        self.refused(b"set q/x 0 0 5", UnknownOption, 5)
        self.refused(b"delete q/x", BadLine)
        self.refused(b"get /x", BadLine)

    def test_dots(self) -> None:
        """Names are never file names."""
        self.assertEqual(parse(b"delete .."), Delete(b"..", False))


class SetTests(GrammarTestCase):
    """Set and the other storage commands."""

    def test_set(self) -> None:
        """A set has a queue, flags, exptime and bytes."""
        self.assertEqual(parse(b"set q 1 2 3"), Set(b"q", 1, 3, False, 2))

    @settings(deadline=None)
    @given(names, some.integers(0, 2**32 - 1), some.integers(0, 2147483645))
    def test_anySet(self, name: bytes, flags: int, size: int) -> None:
        """Any name, flags and bytes in range are taken as they are."""
        line = b"set %b %d 0 %d" % (name, flags, size)
        self.assertEqual(parse(line), Set(name, flags, size, False))

    def test_noreply(self) -> None:
        """A sixth word noreply silences it."""
        self.assertEqual(parse(b"set q 1 2 3 noreply"), Set(b"q", 1, 3, True, 2))

    def test_noreplyWhereItIsNone(self) -> None:
        """As the name of the queue, or before the last word, noreply is a word."""
        self.assertEqual(parse(b"set noreply 1 2 3"), Set(b"noreply", 1, 3, False, 2))
        self.unsized(b"set noreply", UnknownCommand)
        self.unsized(b"set q 0 0 noreply 5", UnknownCommand)
        self.unsized(b"set q 0 0 5 NOREPLY", UnknownCommand)

    def test_leadingZeros(self) -> None:
        """Zeros may lead, as long as there are ten digits at most."""
        self.assertEqual(parse(b"set q 007 00 0000000005"), Set(b"q", 7, 5, False))
        self.unsized(b"set q 0 0 00000000005", BadLine)

    def test_flags(self) -> None:
        """Flags go from 0 to 4294967295."""
        self.assertEqual(
            parse(b"set q 4294967295 0 1"), Set(b"q", 4294967295, 1, False)
        )
        self.refused(b"set q 4294967296 0 1", BadLine, 1)
        self.refused(b"set q -1 0 1", BadLine, 1)

    def test_notANumber(self) -> None:
        """What is not digits is a bad line, and closes where the bytes are not."""
        for word in (b"abc", b"5x", b"+5", b"1_000", b"0x1", b"5.0", b"12345678901"):
            self.refused(b"set q %b 0 7" % word, BadLine, 7)
            self.refused(b"set q 0 %b 7" % word, BadLine, 7)
            self.unsized(b"set q 0 0 %b" % word, BadLine)
        self.unsized("set q 0 0 ٣".encode(), BadLine)

    def test_manyDigits(self) -> None:
        """A number of thousands of digits is a bad line, and costs nothing."""
        self.unsized(b"set q 0 0 " + b"9" * 5000, BadLine)

    def test_exptime(self) -> None:
        """Exptime is a number of ten digits, perhaps with a minus, one."""
        for word, exptime in (
            (b"0", 0),
            (b"-0", 0),
            (b"60", 60),
            (b"-1", -1),
            (b"9999999999", 9_999_999_999),
            (b"-9999999999", -9_999_999_999),
        ):
            self.assertEqual(
                parse(b"set q 0 %b 3" % word), Set(b"q", 0, 3, False, exptime)
            )
        self.refused(b"set q 0 -10000000000 3", BadLine, 3)
        self.refused(b"set q 0 --1 3", BadLine, 3)
        self.refused(b"set q 0 - 3", BadLine, 3)

    def test_wrongNumberOfWords(self) -> None:
        """Too few or too many words are an ERROR, and nobody knows the bytes."""
        for line in (b"set", b"set q", b"set q 0", b"set q 0 0"):
            self.unsized(line, UnknownCommand)
        for line in (b"set q noreply", b"set q 0 noreply", b"set q 0 0 noreply"):
            self.unsized(line, UnknownCommand, noreply=True)
        # It may be a queue called "my queue", and no word 0 is its bytes.
        self.unsized(b"set my queue 0 0 5", UnknownCommand)
        self.unsized(b"set q 0 0 x y", UnknownCommand)
        self.unsized(b"set q 0 0 5 x y", UnknownCommand)
        self.unsized(b"set q 0 0 5 x noreply", UnknownCommand, noreply=True)

    def test_bytesNegative(self) -> None:
        """Negative bytes are a bad line, and close."""
        self.unsized(b"set q 0 0 -1", BadLine)

    def test_bytesOutOfRange(self) -> None:
        """Bytes over 2147483645 are a bad line, and close."""
        self.assertEqual(
            parse(b"set q 0 0 2147483645"), Set(b"q", 0, 2147483645, False)
        )
        self.unsized(b"set q 0 0 2147483646", BadLine)

    def test_badName(self) -> None:
        """A bad name is a bad line; the body is swallowed, noreply is silent."""
        self.refused(b"set " + b"n" * 251 + b" 0 0 5", BadLine, 5)
        self.refused(b"set a\x01 0 0 5 noreply", BadLine, 5, True)

    def test_otherStorage(self) -> None:
        """The other storage commands are an ERROR, their body swallowed."""
        for name in (b"replace", b"append", b"prepend"):
            self.refused(b"%b q 0 0 5" % name, UnknownCommand, 5)
            self.refused(b"%b q 0 0 5 noreply" % name, UnknownCommand, 5, True)
            self.unsized(b"%b q 0 0 x" % name, UnknownCommand)
            self.unsized(b"%b q 0 0 x noreply" % name, UnknownCommand, True)
            self.unsized(b"%b q" % name, UnknownCommand)
            self.unsized(b"%b my queue 0 0 5" % name, UnknownCommand)
        self.refused(b"cas q 0 0 5 77", UnknownCommand, 5)
        self.refused(b"cas q 0 0 5 77 noreply", UnknownCommand, 5, True)
        self.unsized(b"cas q 0 0 5", UnknownCommand)
        self.unsized(b"cas q 0 0 5 noreply", UnknownCommand, True)
        self.unsized(b"cas my queue 0 0 5 77", UnknownCommand)


class OtherCommandTests(GrammarTestCase):
    """Everything but set."""

    def test_get(self) -> None:
        """A get names one queue or more, a queue perhaps twice."""
        self.assertEqual(parse(b"get a b a"), Get((b"a", b"b", b"a"), False))
        self.refused(b"get", UnknownCommand)

    def test_getChecksAllNames(self) -> None:
        """One bad name is a bad line."""
        self.refused(b"get a \x01 b", BadLine)

    def test_gets(self) -> None:
        """A gets asks for the sequence number as well."""
        self.assertEqual(parse(b"gets a"), Get((b"a",), True))
        self.refused(b"gets", UnknownCommand)

    def test_delete(self) -> None:
        """A delete takes a queue, one more word, and noreply."""
        self.assertEqual(parse(b"delete q"), Delete(b"q", False))
        self.assertEqual(parse(b"delete q 0"), Delete(b"q", False))
        self.assertEqual(parse(b"delete q noreply"), Delete(b"q", True))
        self.assertEqual(parse(b"delete q 0 noreply"), Delete(b"q", True))
        self.assertEqual(parse(b"delete noreply"), Delete(b"noreply", False))

    def test_deleteRefused(self) -> None:
        """Other numbers of words are an ERROR, a bad name a bad line."""
        self.refused(b"delete", UnknownCommand)
        self.refused(b"delete q 0 1", UnknownCommand)
        self.refused(b"delete q 0 1 noreply", UnknownCommand, noreply=True)
        self.refused(b"delete \x01", BadLine)
        self.refused(b"delete \x01 noreply", BadLine, noreply=True)

    def test_flushAll(self) -> None:
        """A flush_all takes a delay and noreply."""
        self.assertEqual(parse(b"flush_all"), FlushAll(0, False))
        self.assertEqual(parse(b"flush_all 0"), FlushAll(0, False))
        self.assertEqual(parse(b"flush_all 10"), FlushAll(10, False))
        self.assertEqual(parse(b"flush_all noreply"), FlushAll(0, True))
        self.assertEqual(parse(b"flush_all 0 noreply"), FlushAll(0, True))

    def test_flushAllRefused(self) -> None:
        """A delay that is no number is a bad line, more words are an ERROR."""
        self.refused(b"flush_all x", BadLine)
        self.refused(b"flush_all -1 noreply", BadLine, noreply=True)
        self.refused(b"flush_all 0 1", UnknownCommand)
        self.refused(b"flush_all 0 1 noreply", UnknownCommand, noreply=True)

    def test_stats(self) -> None:
        """There are five kinds of stats; words after queue are ignored."""
        self.assertEqual(parse(b"stats"), Stats(b""))
        self.assertEqual(parse(b"stats queue"), Stats(b"queue"))
        self.assertEqual(parse(b"stats queue and more"), Stats(b"queue"))
        self.assertEqual(parse(b"stats settings"), Stats(b"settings"))
        self.assertEqual(parse(b"stats reset"), Stats(b"reset"))
        self.assertEqual(parse(b"stats detail"), Stats(b"detail", b""))
        self.assertEqual(parse(b"stats detail work*"), Stats(b"detail", b"work*"))

    def test_nothingOfMemcached(self) -> None:
        """What memcached tells of items in memory is known, whatever follows."""
        for words in (
            b"stats items",
            b"stats slabs",
            b"stats sizes",
            b"stats conns",
            b"stats sizes_enable",
            b"stats sizes_disable",
            b"stats cachedump 3 0",
            b"stats malloc",
            b"stats maps",
            b"stats proxy",
            b"stats extstore",
            b"stats items more",
            b"lru_crawler metadump all",
        ):
            self.assertEqual(parse(words), Stats(b"items"), words)
        for rest in (b"", b" metadump", b" crawl all", b" metadump all x"):
            self.refused(b"lru_crawler" + rest, UnknownCommand)

    def test_formatFigures(self) -> None:
        """A value is one word, for some tools give up at a fourth one."""
        self.assertEqual(
            formatFigures([("home", "/srv/a b  c"), ("n", 5)]),
            b"STAT home /srv/a_b__c\r\nSTAT n 5\r\n",
        )

    def test_statsRefused(self) -> None:
        """Anything else after stats is an ERROR."""
        for line in (
            b"stats slab",
            b"stats reset now",
            b"stats settings x",
            b"stats detail a b",
        ):
            self.refused(line, UnknownCommand)
        self.refused(b"stats detail a/b", BadLine)

    def test_verbosity(self) -> None:
        """A verbosity takes a number, or noreply, or both."""
        self.assertEqual(parse(b"verbosity 1"), Verbosity(False))
        self.assertEqual(parse(b"verbosity 1 noreply"), Verbosity(True))
        self.assertEqual(parse(b"verbosity noreply"), Verbosity(True))

    def test_verbosityRefused(self) -> None:
        """Without a word it is an ERROR, with a wrong one a bad line."""
        self.refused(b"verbosity", UnknownCommand)
        self.refused(b"verbosity 1 2", UnknownCommand)
        self.refused(b"verbosity much", BadLine)
        self.refused(b"verbosity much noreply", BadLine, noreply=True)

    def test_aloneOnTheirLine(self) -> None:
        """Some commands are one word and nothing else."""
        for line, command in (
            (b"version", Version()),
            (b"quit", Quit()),
            (b"db_checkpoint", Checkpoint()),
            (b"db_archive", Archive()),
        ):
            self.assertEqual(parse(line), command)
            self.refused(line + b" now", UnknownCommand)


class ReplyTests(SynchronousTestCase):
    """What is sent."""

    @settings(deadline=None)
    @given(names, some.integers(0, 2**32 - 1), some.binary())
    def test_anyValue(self, name: bytes, flags: int, body: bytes) -> None:
        """Whatever the message, its bytes are where the line says."""
        line, rest = formatValue(name, flags, body, b"END").split(b"\r\n", 1)
        self.assertEqual(
            line.split(b" "), [b"VALUE", name, b"%d" % flags, b"%d" % len(body)]
        )
        self.assertEqual(rest, body + b"\r\nEND")

    def test_value(self) -> None:
        """A VALUE block has name, flags and bytes, then the body."""
        self.assertEqual(
            formatValue(b"q", 4294967295, b"a\r\nb", b"END"),
            b"VALUE q 4294967295 4\r\na\r\nb\r\nEND",
        )

    def test_valueWithSequence(self) -> None:
        """For a gets there is a fourth number."""
        self.assertEqual(formatValue(b"q", 0, b"", b"E", 9), b"VALUE q 0 0 9\r\n\r\nE")

    def test_version(self) -> None:
        """VERSION has three numbers with dots, and the first is never 0."""
        self.assertEqual(formatVersion("0.1.7"), b"VERSION 1.0.1\r\n")

    def test_error(self) -> None:
        """An error is its line."""
        self.assertEqual(formatError(UnknownCommand()), b"ERROR\r\n")

    def test_stats(self) -> None:
        """Stats are a line a figure, then END."""
        self.assertEqual(
            formatStats([("pid", 1), ("home", "/\udcff")]),
            b"STAT pid 1\r\nSTAT home /\xff\r\nEND\r\n",
        )

    def test_counts(self) -> None:
        """Queues are a line each, then END."""
        self.assertEqual(
            formatCounts([QueueCount(b"a", 2, 1), QueueCount(b"b", 0, 0)]),
            b"STAT a 2/1\r\nSTAT b 0/0\r\nEND\r\n",
        )
