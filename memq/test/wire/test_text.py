"""The grammar, line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.errors import BadLine, QueueError, UnknownCommand, UnknownOption
from memq.wire.forms import NUMBERED, SETS, SILENT
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
    parse,
    parseShort,
    versionNumbers,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memq.wire.text import Command

#: Any name of a queue.
names = some.binary(min_size=1, max_size=250).map(
    lambda name: bytes(
        byte if byte > 0x20 and byte not in b"\x7f/" else 0x21 for byte in name
    )
)


def asked(line: bytes) -> Iterator[Command]:
    """Yield what a line is taken for, in each way that it may be written."""
    for written in (line, line + b"\r", b"  " + line.replace(b" ", b"   ") + b" "):
        yield parse(written)
        yield parseShort(written)


class GrammarTestCase(SynchronousTestCase):
    """Asks what lines are taken for."""

    def taken(self, command: Command, *lines: bytes) -> None:
        """Assert that each line is this command."""
        for line in lines:
            for found in asked(line):
                self.assertIs(type(found), type(command), line)
                self.assertEqual(found, command, line)

    def refused(
        self,
        error: type[QueueError],
        *lines: bytes,
        size: int | None = None,
        noreply: bool = False,
        closes: bool = False,
    ) -> None:
        """Assert that each line is refused so, with a body of ``size`` to swallow."""
        for line in lines:
            for found in asked(line):
                assert isinstance(found, Refused), found
                self.assertEqual(
                    (type(found.error), found.size, found.form is SILENT, found.closes),
                    (error, size, noreply, closes),
                    line,
                )


class LineTests(GrammarTestCase):
    """Lines in general."""

    def test_notACommand(self) -> None:
        """A line that is no command, an empty one too, is an ERROR."""
        self.refused(UnknownCommand, b"", b"   ", b"bogus", b"get\tq", b"GET")

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
                *(word.upper(), word.capitalize(), word[:-1] + word[-1:].upper()),
            ):
                self.assertEqual(parse(b" ".join([written, *rest])), parse(line), line)
        self.refused(UnknownCommand, b"APPEND q 0 0 5", size=5)
        self.refused(UnknownCommand, b"Touch q 0 noreply", noreply=True)

    def test_runsOfSpaces(self) -> None:
        """Runs of spaces separate words, and those at either end do not count."""
        self.taken(Get((b"a", b"b")), b"  get   a  b ")
        self.taken(Version(), b" version ")

    def test_tabIsPartOfAWord(self) -> None:
        """A TAB does not separate, so it makes a bad name."""
        self.refused(BadLine, b"get a\tb")

    @given(some.binary(max_size=200))
    def test_neverRaises(self, line: bytes) -> None:
        """Any bytes are a command, or are refused."""
        parse(line)

    @given(
        some.lists(
            some.sampled_from(
                [
                    *(b"get", b"set", b"add", b"delete", b"stats", b"flush_all"),
                    *(b"verbosity", b"flush", b"pause", b"resume", b"reload"),
                    *(b"monitor", b"confirm", b"dump_stats", b"detail", b"reads"),
                    *(b"q", b"q/open", b"q/t=1", b"q/delay=1", b"/", b"q/", b""),
                    *(b"0", b"-1", b"5", b"99999999999", b"noreply"),
                ]
            )
        )
    )
    def test_anyWords(self, words: list[bytes]) -> None:
        """Any words of the grammar in any order are a command, or are refused."""
        parse(b" ".join(words))


class NameTests(GrammarTestCase):
    """Queue names."""

    @given(some.lists(names, min_size=1))
    def test_anyNames(self, queues: list[bytes]) -> None:
        """A get of any names takes them as they are."""
        self.assertEqual(parse(b"get " + b" ".join(queues)), Get(tuple(queues)))

    def test_bytes(self) -> None:
        """A name has 1 to 250 bytes above 0x20, but for 0x7F and the slash."""
        for byte in range(0x100):
            name = b"a%cz" % byte
            if byte > 0x20 and byte not in b"\x7f/":
                self.taken(Get((name,)), b"get " + name)
            elif byte != 0x20:
                self.refused(BadLine, b"flush " + name)
        self.taken(Get((b"n" * 250,)), b"get " + b"n" * 250)
        self.refused(BadLine, b"get " + b"n" * 251)

    def test_utf8(self) -> None:
        """A name may be UTF-8."""
        name = "队列".encode()
        self.taken(Get((name,)), b"get " + name)

    def test_slash(self) -> None:
        """A slash begins an option; other commands than these know none."""
        self.refused(UnknownOption, b"get q/x")
        self.refused(UnknownOption, b"set q/x 0 0 5", size=5)
        self.refused(UnknownOption, b"delete q/x", b"touch q/x 0")
        self.refused(BadLine, b"flush q/x", b"get /x", b"delete /x", b"touch / 0")

    def test_dots(self) -> None:
        """Names are never file names."""
        self.taken(Delete(b".."), b"delete ..")


class SetTests(GrammarTestCase):
    """Set and the other storage commands."""

    def test_set(self) -> None:
        """A set has a queue, flags, exptime and bytes; then noreply silences it."""
        self.taken(Set(b"q", 1, 3, SETS, 2), b"set q 1 2 3")
        self.taken(Set(b"q", 1, 3, SILENT, 2), b"set q 1 2 3 noreply")

    @given(names, some.integers(0, 2**32 - 1), some.integers(0, 2147483645))
    def test_anySet(self, name: bytes, flags: int, size: int) -> None:
        """Any name, flags and bytes in range are taken as they are."""
        line = b"set %b %d 0 %d" % (name, flags, size)
        self.assertEqual(parse(line), Set(name, flags, size))

    def test_noreplyWhereItIsNone(self) -> None:
        """As the name of the queue, or before the last word, noreply is a word."""
        self.taken(Set(b"noreply", 1, 3, SETS, 2), b"set noreply 1 2 3")
        self.refused(
            UnknownCommand,
            *(b"set noreply", b"set q 0 0 noreply 5", b"set q 0 0 5 NOREPLY"),
            closes=True,
        )

    def test_leadingZeros(self) -> None:
        """Zeros may lead, as long as there are ten digits at most."""
        self.taken(Set(b"q", 7, 5), b"set q 007 00 0000000005")
        self.refused(BadLine, b"set q 0 0 00000000005", closes=True)

    def test_notANumber(self) -> None:
        """A number not in digits is a bad line, and closes where the bytes are not."""
        for word in (b"abc", b"5x", b"+5", b"1_000", b"0x1", b"5.0", b"12345678901"):
            self.refused(
                BadLine, b"set q %b 0 7" % word, b"set q 0 %b 7" % word, size=7
            )
            self.refused(BadLine, b"set q 0 0 %b" % word, closes=True)
        # Thousands of digits cost nothing.
        for word in ("٣".encode(), b"9" * 5000, b"-1"):
            self.refused(BadLine, b"set q 0 0 " + word, closes=True)

    def test_ranges(self) -> None:
        """Flags go to 4294967295, bytes to 2147483645; over that, bytes close."""
        self.taken(Set(b"q", 4294967295, 1), b"set q 4294967295 0 1")
        self.refused(BadLine, b"set q 4294967296 0 1", b"set q -1 0 1", size=1)
        self.taken(Set(b"q", 0, 2147483645), b"set q 0 0 2147483645")
        self.refused(BadLine, b"set q 0 0 2147483646", closes=True)

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
            self.taken(Set(b"q", 0, 3, SETS, exptime), b"set q 0 %b 3" % word)
        for word in (b"-10000000000", b"--1", b"-"):
            self.refused(BadLine, b"set q 0 %b 3" % word, size=3)

    def test_wrongNumberOfWords(self) -> None:
        """Too few or too many words are an ERROR, and nobody knows the bytes."""
        self.refused(
            UnknownCommand,
            *(b"set", b"set q", b"set q 0", b"set q 0 0"),
            # It may be a queue called "my queue", and no word 0 is its bytes.
            *(b"set my queue 0 0 5", b"set q 0 0 x y", b"set q 0 0 5 x y"),
            closes=True,
        )
        self.refused(
            UnknownCommand,
            *(b"set q noreply", b"set q 0 noreply", b"set q 0 0 noreply"),
            b"set q 0 0 5 x noreply",
            noreply=True,
            closes=True,
        )

    def test_badName(self) -> None:
        """A bad name is a bad line; the body is swallowed, noreply is silent."""
        self.refused(BadLine, b"set " + b"n" * 251 + b" 0 0 5", size=5)
        self.refused(BadLine, b"set a\x01 0 0 5 noreply", size=5, noreply=True)

    def test_otherStorage(self) -> None:
        """The other storage commands are an ERROR, their body swallowed."""
        for command, more in (
            (b"replace q", b""),
            (b"append q", b""),
            (b"prepend q", b""),
            (b"cas q", b" 77"),
        ):
            line = command + b" 0 0 5" + more
            self.refused(UnknownCommand, line, command + b" x x 5" + more, size=5)
            self.refused(UnknownCommand, line + b" noreply", size=5, noreply=True)
            unknown = command + b" 0 0 x" + more
            self.refused(
                UnknownCommand,
                *(unknown, command, line + b" 0", line.replace(b" 0 ", b" ", 1)),
                closes=True,
            )
            self.refused(
                UnknownCommand, unknown + b" noreply", noreply=True, closes=True
            )


class OtherCommandTests(GrammarTestCase):
    """Everything but set."""

    def test_get(self) -> None:
        """A get names one queue or more, a queue perhaps twice."""
        self.taken(Get((b"a", b"b", b"a")), b"get a b a")
        self.refused(UnknownCommand, b"get", b"gets")
        self.refused(BadLine, b"get a \x01 b")

    def test_gets(self) -> None:
        """A gets asks for the sequence number as well."""
        self.taken(Get((b"a",), NUMBERED), b"gets a")

    def test_delete(self) -> None:
        """A delete takes a queue, one more word, and noreply."""
        self.taken(Delete(b"q"), b"delete q", b"delete q 0", b"delete q \1")
        self.taken(Delete(b"q", SILENT), b"delete q noreply", b"delete q 0 noreply")
        self.taken(Delete(b"noreply"), b"delete noreply")
        self.refused(UnknownCommand, b"delete", b"delete q 0 1")
        self.refused(UnknownCommand, b"delete q 0 1 noreply", noreply=True)
        self.refused(BadLine, b"delete \x01")
        self.refused(BadLine, b"delete \x01 noreply", noreply=True)

    def test_flushAll(self) -> None:
        """A flush_all takes a delay and noreply."""
        self.taken(FlushAll(), b"flush_all", b"flush_all 0")
        self.taken(FlushAll(10), b"flush_all 10")
        self.taken(FlushAll(0, SILENT), b"flush_all noreply", b"flush_all 0 noreply")
        self.refused(BadLine, b"flush_all x")
        self.refused(BadLine, b"flush_all -1 noreply", noreply=True)
        self.refused(UnknownCommand, b"flush_all 0 1")
        self.refused(UnknownCommand, b"flush_all 0 1 noreply", noreply=True)

    def test_stats(self) -> None:
        """There are five kinds of stats; words after queue are ignored."""
        self.taken(Stats(b""), b"stats")
        self.taken(Stats(b"queue"), b"stats queue", b"stats queue and more")
        self.taken(Stats(b"settings"), b"stats settings")
        self.taken(Stats(b"reset"), b"stats reset")
        self.taken(Stats(b"conns"), b"stats conns")
        self.taken(Stats(b"detail", b""), b"stats detail")
        self.taken(Stats(b"detail", b"work*"), b"stats detail work*")
        for rest in (b"slab", b"reset now", b"settings x", b"detail a b"):
            self.refused(UnknownCommand, b"stats " + rest)
        self.refused(BadLine, b"stats detail a/b")
        self.taken(Stats(b"peek", b"work"), b"stats peek work")
        self.refused(BadLine, b"stats peek work/open")
        self.refused(UnknownCommand, b"stats peek", b"stats peek a b")

    def test_nothingOfMemcached(self) -> None:
        """Memcached's statistics of items in memory are known, whatever follows."""
        for rest in (
            *(b"items", b"slabs", b"sizes", b"sizes_enable", b"malloc"),
            *(b"sizes_disable", b"cachedump 3 0", b"maps", b"proxy", b"proxyfuncs"),
            *(b"proxybe", b"extstore", b"items more"),
        ):
            self.taken(Stats(b"items"), b"stats " + rest)
        self.taken(Stats(b"items"), b"lru_crawler metadump all")
        for rest in (b"", b" metadump", b" crawl all", b" metadump all x"):
            self.refused(UnknownCommand, b"lru_crawler" + rest)

    def test_verbosity(self) -> None:
        """A verbosity takes a number, or noreply, or both."""
        self.taken(Verbosity(), b"verbosity 1")
        self.taken(Verbosity(SILENT), b"verbosity 1 noreply", b"verbosity noreply")
        self.refused(UnknownCommand, b"verbosity", b"verbosity 1 2")
        self.refused(BadLine, b"verbosity much")
        self.refused(BadLine, b"verbosity much noreply", noreply=True)

    def test_aloneOnTheirLine(self) -> None:
        """Some commands are one word and nothing else."""
        for line, command in (
            (b"version", Version()),
            (b"quit", Quit()),
            (b"db_checkpoint", Checkpoint()),
            (b"db_archive", Archive()),
        ):
            self.taken(command, line)
            self.refused(UnknownCommand, line + b" now", line + b" noreply")


class ReplyTests(SynchronousTestCase):
    """Replies."""

    def test_version(self) -> None:
        """A version has three numbers with dots, and the first is never 0."""
        self.assertEqual(versionNumbers("0.1.7"), b"1.0.1")
