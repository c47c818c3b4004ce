"""The grammar of what MemcacheQ did not know, line by line."""

from __future__ import annotations

from itertools import permutations, product
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as some

from memq.errors import (
    BadDelay,
    BadLine,
    BadWait,
    NotANumber,
    OptionsApart,
    OptionTwice,
    QueueError,
    TooManyQueues,
    UnknownCommand,
    UnknownOption,
)
from memq.test.wire.test_text import GrammarTestCase, names
from memq.wire.extensions import (
    READS,
    WRITES,
    Add,
    Confirm,
    DumpStats,
    Flush,
    Monitor,
    Pause,
    Read,
    Reads,
    Reload,
    Resume,
    parseLimit,
)
from memq.wire.text import Get, Set, parse, parseShort

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memq.wire.text import Command

#: The options of a get, and those that go together, in the order of the alphabet.
OPTIONS = (b"abort", b"close", b"open", b"peek", b"t=7")
TOGETHER = [
    (b"t=7",),
    (b"open",),
    (b"open", b"t=7"),
    (b"close",),
    (b"close", b"open"),
    (b"close", b"open", b"t=7"),
    (b"abort",),
    (b"peek",),
    (b"peek", b"t=7"),
]
#: Options that are wrong wherever they stand.
WRONG: dict[bytes, type[QueueError]] = {
    b"": UnknownOption,
    b"OPEN": UnknownOption,
    b"open=": UnknownOption,
    b"t": UnknownOption,
    b"delay=1": UnknownOption,
    b"t=": BadWait,
    b"t=-1": BadWait,
    b"t=3600001": BadWait,
}


def expected(options: tuple[bytes, ...]) -> type[QueueError] | None:
    """Return what a get with these options is refused with, None if it is not."""
    seen = set()
    for option in options:
        name = option.split(b"=")[0]
        error = WRONG.get(option)
        if error is UnknownOption:
            return error
        if name in seen:
            return OptionTwice
        if error is not None:
            return error
        seen.add(name)
    return None if tuple(sorted(options)) in TOGETHER else OptionsApart


def ways(line: bytes) -> Iterator[bytes]:
    """Yield a line in the ways that it may be written."""
    yield line
    yield line + b"\r"
    yield b"  " + line.replace(b" ", b"   ") + b" "


class DialectTestCase(GrammarTestCase):
    """Asks what a line is taken for, in every way that it may be written."""

    def taken(self, line: bytes, command: Command) -> None:
        """Assert that a line is this command."""
        for written in ways(line):
            for found in (parse(written), parseShort(written)):
                self.assertIs(type(found), type(command), line)
                self.assertEqual(found, command, line)

    def refusedAlways(
        self,
        line: bytes,
        error: type[QueueError],
        size: int | None = None,
        closes: bool = False,
    ) -> None:
        """Assert that a line is refused so."""
        for written in ways(line):
            self.refused(written, error, size, closes=closes)


class ReadTests(DialectTestCase):
    """Get and gets with options."""

    def reads(self, key: bytes, **asked: object) -> None:
        """Assert that this is asked for, whether by get or by gets."""
        plain = Read(b"q", key, None, False, False, False, False, False)
        read = plain._replace(**asked)  # type: ignore[arg-type]
        self.taken(b"get " + key, read)
        self.taken(b"gets " + key, read._replace(withSequence=True))

    def test_together(self) -> None:
        """Each set of options that go together is taken, in any order."""
        for options in TOGETHER:
            for ordered in permutations(options):
                asked = {option.decode(): True for option in options}
                wait = 7 if asked.pop("t=7", False) else None
                self.reads(b"/".join((b"q", *ordered)), wait=wait, **asked)

    def test_everySet(self) -> None:
        """Every one, two, three and four options are taken or refused as they ought."""
        count = 0
        for length in range(1, 5):
            for options in product(OPTIONS, repeat=length):
                count += self.check(options)
        self.assertEqual(count, 2 + 3 + 2 + 2 + 2 + 6)

    def check(self, options: tuple[bytes, ...]) -> bool:
        """Assert what a get with these options is; return whether it is taken."""
        line = b"get " + b"/".join((b"q", *options))
        error = expected(options)
        if error is not None:
            self.refused(line, error)
        else:
            self.assertIs(type(parse(line)), Read, line)
        return error is None

    def test_wrong(self) -> None:
        """What is wrong first, from the left, is told."""
        for length in range(1, 4):
            for options in product((*OPTIONS, *WRONG), repeat=length):
                self.check(options)

    def test_wait(self) -> None:
        """A wait is 0 to 3600000 milliseconds."""
        self.reads(b"q/t=0", wait=0)
        self.reads(b"q/t=0000000001", wait=1)
        self.reads(b"q/t=3600000", wait=3_600_000)
        for word in (b"", b"3600001", b"-1", b"+1", b"1.5", b"x", b"1=1", b"9" * 5000):
            self.refusedAlways(b"get q/t=" + word, BadWait)

    def test_several(self) -> None:
        """Each queue of a line has its own options, or none."""
        for verb, withSequence in ((b"get", False), (b"gets", True)):
            plain = Read(b"b", b"b", None, False, False, False, False, withSequence)
            self.taken(
                verb + b" a/open b b/t=5/open b/close",
                Reads(
                    (
                        plain._replace(queue=b"a", key=b"a/open", open=True),
                        plain,
                        plain._replace(key=b"b/t=5/open", wait=5, open=True),
                        plain._replace(key=b"b/close", close=True),
                    )
                ),
            )

    def test_severalRefused(self) -> None:
        """One that is wrong is the error of the line, the first from the left."""
        for line, error in (
            (b"get a b/what", UnknownOption),
            (b"get a/t=x b/what", BadWait),
            (b"get a/open/open b/t=x", OptionTwice),
            (b"get a/open b/peek/open", OptionsApart),
            (b"gets \1 /", BadLine),
            (b"get a \1", BadLine),
            (b"get a/open \1", BadLine),
        ):
            self.refusedAlways(line, error)

    def test_tooMany(self) -> None:
        """With options, a line names 250 queues at most."""
        most = b"get" + b" q" * 249 + b" q/open"
        command = parse(most)
        assert isinstance(command, Reads)
        self.assertEqual(len(command.reads), 250)
        self.refusedAlways(most + b" q", TooManyQueues)
        self.refusedAlways(b"get" + b" q" * 250 + b" \1", BadLine)

    def test_badName(self) -> None:
        """The name before the options is a name like any other."""
        for name in (b"", b"a\1", b"n" * 251):
            self.refusedAlways(b"get %b/open" % name, BadLine)
            self.refusedAlways(b"gets %b/what" % name, BadLine)

    @settings(deadline=None)
    @given(names)
    def test_anyName(self, name: bytes) -> None:
        """Any name can have options, and the key is kept as it was asked for."""
        key = name + b"/t=1/open"
        self.assertEqual(
            parse(b"get " + key), Read(name, key, 1, True, False, False, False, False)
        )

    def test_manyOptions(self) -> None:
        """A line of nothing but slashes is refused as quickly as another."""
        self.refused(b"get q" + b"/" * 65_000, UnknownOption)

    def test_plain(self) -> None:
        """Without options a get is what it was."""
        self.taken(b"get a b", Get((b"a", b"b"), False))


class DelayTests(DialectTestCase):
    """Set with a delay."""

    def test_delay(self) -> None:
        """A delay is 0 to 31536000 seconds."""
        for delay in (0, 1, 31_536_000):
            self.taken(
                b"set q/delay=%d 1 -2 3" % delay, Set(b"q", 1, 3, False, -2, delay)
            )
        self.taken(b"set q/delay=5 0 0 3 noreply", Set(b"q", 0, 3, True, 0, 5))

    def test_noDelay(self) -> None:
        """What is no number of seconds is refused, and the body swallowed."""
        for word in (b"", b"x", b"-1", b"31536001", b"1=1"):
            self.refusedAlways(b"set q/delay=%b 0 0 3" % word, BadDelay, 3)
        self.refused(b"set q/delay=x 0 0 3 noreply", BadDelay, 3, True)

    def test_otherOptions(self) -> None:
        """There is no other option, and none twice."""
        for option in (b"", b"open", b"t=1", b"delay", b"DELAY=1", b"delay=1/"):
            self.refusedAlways(b"set q/%b 0 0 3" % option, UnknownOption, 3)
        self.refusedAlways(b"set q/delay=1/delay=x 0 0 3", OptionTwice, 3)

    def test_badLine(self) -> None:
        """Other words that are wrong are told first, and a name must be one."""
        for line in (
            b"set q/x x 0 3",
            b"set q/x 0 x 3",
            b"set /delay=1 0 0 3",
            b"set a\1/delay=1 0 0 3",
            b"set %b/delay=1 0 0 3" % (b"n" * 251),
        ):
            self.refusedAlways(line, BadLine, 3)
        self.refusedAlways(b"set q/delay=1 0 0 x", BadLine, closes=True)


class CommandTests(DialectTestCase):
    """The commands."""

    def test_add(self) -> None:
        """An add is a set line, and its body is no longer than a number."""
        self.taken(b"add q 0 0 1", Add(b"q", 1))
        self.taken(b"add q 4294967295 -1 20", Add(b"q", 20))
        self.taken(b"add q 0 0 0", Add(b"q", 0))
        self.taken(b"add q 0 0 1 noreply", Add(b"q", 1, True))
        self.refused(b"add q 0 0 21 noreply", NotANumber, 21, True)
        self.refused(b"add q/x 0 0 2 noreply", BadLine, 2, True)
        self.refusedAlways(b"add q 0 0 21", NotANumber, 21)
        self.refusedAlways(b"add q 0 0 2147483645", NotANumber, 2147483645)

    def test_addRefused(self) -> None:
        """A bad word is a bad line, the wrong number of words an ERROR, as in a set."""
        for line in (
            b"add q x 0 3",
            b"add q 0 x 3",
            b"add q 0 --1 3",
            b"add q/x 0 0 3",
        ):
            self.refusedAlways(line, BadLine, 3)
        self.refusedAlways(b"add q 4294967296 0 3", BadLine, 3)
        for line in (b"add q 0 0 x", b"add q 0 0 2147483646"):
            self.refusedAlways(line, BadLine, closes=True)
        for line in (b"add q 0 0 3 4 5", b"add my queue 0 0 3", b"add", b"add q 0 0"):
            self.refusedAlways(line, UnknownCommand, closes=True)
        for line in (b"add q 0 noreply", b"add q 0 0 3 4 noreply"):
            self.unsized(line, UnknownCommand, noreply=True)

    def test_limit(self) -> None:
        """A limit is a number of ten digits at most."""
        for body, limit in (
            (b"0", 0),
            (b"100", 100),
            (b"9999999999", 9_999_999_999),
            (b"10000000000", None),
            (b"", None),
            (b" 1", None),
            (b"-1", None),
            (b"ten", None),
        ):
            self.assertEqual(parseLimit(body), limit, body)

    def test_ofOneQueue(self) -> None:
        """A flush and a resume name a queue, and nothing else."""
        for word, command in ((b"flush", Flush(b"q")), (b"resume", Resume(b"q"))):
            self.taken(word + b" q", command)
            self.refusedAlways(word, UnknownCommand)
            for rest in (b" q noreply", b" q r"):
                self.refusedAlways(word + rest, UnknownCommand)
            for name in (b"q/open", b"\1", b"n" * 251):
                self.refusedAlways(word + b" " + name, BadLine)

    def test_pause(self) -> None:
        """A pause stops reads, writes, or both."""
        self.taken(b"pause q", Pause(b"q", READS | WRITES))
        self.taken(b"pause q reads", Pause(b"q", READS))
        self.taken(b"pause q writes", Pause(b"q", WRITES))
        for line in (b"pause", b"pause q reads writes", b"pause q reads noreply"):
            self.refusedAlways(line, UnknownCommand)
        for line in (b"pause q/x", b"pause q both", b"pause q noreply"):
            self.refusedAlways(line, BadLine)

    def test_monitor(self) -> None:
        """A monitor takes 0 to 3600 seconds, and 1 to 10000 messages."""
        self.taken(b"monitor q 0", Monitor(b"q", 0, 10_000))
        self.taken(b"monitor q 3600 1", Monitor(b"q", 3600, 1))
        self.taken(b"monitor q 5 10000", Monitor(b"q", 5, 10_000))
        for line in (b"monitor", b"monitor q", b"monitor q 1 1 noreply"):
            self.refusedAlways(line, UnknownCommand)
        for rest in (b"q 3601", b"q -1", b"q x", b"q 1 0", b"q 1 10001", b"q/open 1"):
            self.refusedAlways(b"monitor " + rest, BadLine)

    def test_confirm(self) -> None:
        """A confirm takes 1 to 10000 messages."""
        self.taken(b"confirm q 1", Confirm(b"q", 1))
        self.taken(b"confirm q 10000", Confirm(b"q", 10_000))
        for line in (b"confirm", b"confirm q", b"confirm q 1 noreply"):
            self.refusedAlways(line, UnknownCommand)
        for rest in (b"q 0", b"q 10001", b"q -1", b"q x", b"q/open 1"):
            self.refusedAlways(b"confirm " + rest, BadLine)

    def test_aloneOnTheirLine(self) -> None:
        """Two commands are one word and nothing else."""
        for line, command in ((b"reload", Reload()), (b"dump_stats", DumpStats())):
            self.taken(line, command)
            self.refusedAlways(line + b" noreply", UnknownCommand)

    @settings(deadline=None)
    @given(
        some.lists(
            some.sampled_from(
                [
                    *(b"get", b"set", b"add", b"flush", b"pause", b"resume", b"reload"),
                    *(b"monitor", b"confirm", b"dump_stats", b"stats", b"detail"),
                    *(b"q", b"q/open", b"q/t=1", b"q/delay=1", b"/", b"q/", b""),
                    *(b"0", b"-1", b"5", b"99999999999", b"reads", b"noreply"),
                ]
            )
        )
    )
    def test_anyWords(self, words: list[bytes]) -> None:
        """Any words of the grammar in any order are a command, or are refused."""
        parse(b" ".join(words))
