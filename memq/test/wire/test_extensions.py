"""The grammar of what MemcacheQ did not know, line by line."""

from __future__ import annotations

from itertools import permutations, product
from typing import TYPE_CHECKING

from hypothesis import given, settings

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
    Move,
    Pause,
    Read,
    Reads,
    Redrive,
    Reload,
    Resume,
    parseLimit,
)
from memq.wire.text import Set, parse

if TYPE_CHECKING:
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


class ReadTests(GrammarTestCase):
    """Get and gets with options."""

    def reads(self, key: bytes, **asked: object) -> None:
        """Assert that this is asked for, whether by get or by gets."""
        plain = Read(b"q", key, None, False, False, False, False, False)
        read = plain._replace(**asked)  # type: ignore[arg-type]
        self.taken(read, b"get " + key)
        self.taken(read._replace(withSequence=True), b"gets " + key)

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
            self.refused(error, line)
        else:
            self.assertIs(type(parse(line)), Read, line)
        return error is None

    def test_wrong(self) -> None:
        """The first error from the left is told."""
        for length in range(1, 4):
            for options in product((*OPTIONS, *WRONG), repeat=length):
                self.check(options)

    def test_wait(self) -> None:
        """A wait is 0 to 3600000 milliseconds."""
        self.reads(b"q/t=0", wait=0)
        self.reads(b"q/t=0000000001", wait=1)
        self.reads(b"q/t=3600000", wait=3_600_000)
        for word in (b"", b"3600001", b"-1", b"+1", b"1.5", b"x", b"1=1", b"9" * 5000):
            self.refused(BadWait, b"get q/t=" + word)

    def test_several(self) -> None:
        """Each queue of a line has its own options, or none."""
        for verb, withSequence in ((b"get", False), (b"gets", True)):
            plain = Read(b"b", b"b", None, False, False, False, False, withSequence)
            reads = (
                plain._replace(queue=b"a", key=b"a/open", open=True),
                plain,
                plain._replace(key=b"b/t=5/open", wait=5, open=True),
                plain._replace(key=b"b/close", close=True),
            )
            self.taken(Reads(reads), verb + b" a/open b b/t=5/open b/close")

    def test_severalRefused(self) -> None:
        """A wrong word is the error of the line, the first from the left."""
        for line, error in (
            (b"get a b/what", UnknownOption),
            (b"get a/t=x b/what", BadWait),
            (b"get a/open/open b/t=x", OptionTwice),
            (b"get a/open b/peek/open", OptionsApart),
            (b"gets \1 /", BadLine),
            (b"get a \1", BadLine),
            (b"get a/open \1", BadLine),
        ):
            self.refused(error, line)

    def test_tooMany(self) -> None:
        """With options, a line names 250 queues at most."""
        most = b"get" + b" q" * 249 + b" q/open"
        command = parse(most)
        assert isinstance(command, Reads)
        self.assertEqual(len(command.reads), 250)
        self.refused(TooManyQueues, most + b" q")
        self.refused(BadLine, b"get" + b" q" * 250 + b" \1")

    def test_badName(self) -> None:
        """The name before the options is a name like any other."""
        for name in (b"", b"a\1", b"n" * 251):
            self.refused(BadLine, b"get %b/open" % name, b"gets %b/what" % name)

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
        self.refused(UnknownOption, b"get q" + b"/" * 65_000)


class DelayTests(GrammarTestCase):
    """Set with a delay."""

    def test_delay(self) -> None:
        """A delay is 0 to 31536000 seconds."""
        for delay in (0, 1, 31_536_000):
            line = b"set q/delay=%d 1 -2 3" % delay
            self.taken(Set(b"q", 1, 3, False, -2, delay), line)
        self.taken(Set(b"q", 0, 3, True, 0, 5), b"set q/delay=5 0 0 3 noreply")
        for word in (b"", b"x", b"-1", b"31536001", b"1=1"):
            self.refused(BadDelay, b"set q/delay=%b 0 0 3" % word, size=3)
        line = b"set q/delay=x 0 0 3 noreply"
        self.refused(BadDelay, line, size=3, noreply=True)

    def test_otherOptions(self) -> None:
        """There is no other option, and none twice."""
        for option in (b"", b"open", b"t=1", b"delay", b"DELAY=1", b"delay=1/"):
            self.refused(UnknownOption, b"set q/%b 0 0 3" % option, size=3)
        self.refused(OptionTwice, b"set q/delay=1/delay=x 0 0 3", size=3)

    def test_badLine(self) -> None:
        """Other words that are wrong are told first, and a name must be one."""
        self.refused(
            BadLine,
            *(b"set q/x x 0 3", b"set q/x 0 x 3", b"set /delay=1 0 0 3"),
            *(b"set a\1/delay=1 0 0 3", b"set %b/delay=1 0 0 3" % (b"n" * 251)),
            size=3,
        )
        self.refused(BadLine, b"set q/delay=1 0 0 x", closes=True)


class CommandTests(GrammarTestCase):
    """The commands."""

    def test_add(self) -> None:
        """An add is a set line, and its body is no longer than a number."""
        self.taken(Add(b"q", 1), b"add q 0 0 1")
        self.taken(Add(b"q", 20), b"add q 4294967295 -1 20")
        self.taken(Add(b"q", 0), b"add q 0 0 0")
        self.taken(Add(b"q", 1, True), b"add q 0 0 1 noreply")
        self.refused(NotANumber, b"add q 0 0 21 noreply", size=21, noreply=True)
        self.refused(NotANumber, b"add q 0 0 21", size=21)
        self.refused(NotANumber, b"add q 0 0 2147483645", size=2147483645)

    def test_addRefused(self) -> None:
        """A bad word is a bad line, the wrong number of words an ERROR, as in a set."""
        self.refused(
            BadLine,
            *(b"add q x 0 3", b"add q 0 x 3", b"add q 0 --1 3", b"add q/x 0 0 3"),
            b"add q 4294967296 0 3",
            size=3,
        )
        self.refused(BadLine, b"add q/x 0 0 2 noreply", size=2, noreply=True)
        self.refused(BadLine, b"add q 0 0 x", b"add q 0 0 2147483646", closes=True)
        self.refused(
            UnknownCommand,
            *(b"add q 0 0 3 4 5", b"add my queue 0 0 3", b"add", b"add q 0 0"),
            closes=True,
        )
        lines = b"add q 0 noreply", b"add q 0 0 3 4 noreply"
        self.refused(UnknownCommand, *lines, noreply=True, closes=True)

    def test_limit(self) -> None:
        """A limit is a number of ten digits at most."""
        for limit in (0, 100, 9_999_999_999):
            self.assertEqual(parseLimit(b"%d" % limit), limit)
        for body in (b"10000000000", b"", b" 1", b"-1", b"ten"):
            self.assertIsNone(parseLimit(body), body)

    def commands(
        self, taken: dict[bytes, Command], wrong: list[bytes], bad: list[bytes]
    ) -> None:
        """Assert what lines are, that others are an ERROR, and others a bad line."""
        for line, command in taken.items():
            self.taken(command, line)
        self.refused(UnknownCommand, *wrong)
        self.refused(BadLine, *bad)

    def test_ofOneQueue(self) -> None:
        """A flush and a resume name a queue, and nothing else."""
        for word, command in ((b"flush", Flush(b"q")), (b"resume", Resume(b"q"))):
            self.commands(
                {word + b" q": command},
                [word, word + b" q noreply", word + b" q r"],
                [word + b" q/open", word + b" \1", word + b" " + b"n" * 251],
            )

    def test_pause(self) -> None:
        """A pause stops reads, writes, or both."""
        self.commands(
            {
                b"pause q": Pause(b"q", READS | WRITES),
                b"pause q reads": Pause(b"q", READS),
                b"pause q writes": Pause(b"q", WRITES),
            },
            [b"pause", b"pause q reads writes", b"pause q reads noreply"],
            [b"pause q/x", b"pause q both", b"pause q noreply"],
        )

    def test_monitor(self) -> None:
        """A monitor takes 0 to 3600 seconds, and 1 to 10000 messages."""
        self.commands(
            {
                b"monitor q 0": Monitor(b"q", 0, 10_000),
                b"monitor q 3600 1": Monitor(b"q", 3600, 1),
                b"monitor q 5 10000": Monitor(b"q", 5, 10_000),
            },
            [b"monitor", b"monitor q", b"monitor q 1 1 noreply"],
            [
                *(b"monitor q 3601", b"monitor q -1", b"monitor q x"),
                *(b"monitor q 1 0", b"monitor q 1 10001", b"monitor q/open 1"),
            ],
        )

    def test_confirm(self) -> None:
        """A confirm takes 1 to 10000 messages."""
        self.commands(
            {
                b"confirm q 1": Confirm(b"q", 1),
                b"confirm q 10000": Confirm(b"q", 10_000),
            },
            [b"confirm", b"confirm q", b"confirm q 1 noreply"],
            [
                *(b"confirm q 0", b"confirm q 10001", b"confirm q -1", b"confirm q x"),
                b"confirm q/open 1",
            ],
        )

    def test_move(self) -> None:
        """A move names two queues and perhaps a number, 1 to 9999999999."""
        self.commands(
            {
                b"move q r": Move(b"q", b"r", 9_999_999_999),
                b"move q r 1": Move(b"q", b"r", 1),
                b"move q r 9999999999": Move(b"q", b"r", 9_999_999_999),
            },
            [b"move", b"move q", b"move q r 1 noreply"],
            [
                *(b"move q q", b"move q q 1", b"move q r 0", b"move q r x"),
                *(b"move q/open r", b"move q r/open", b"move q r 10000000000"),
            ],
        )

    def test_redrive(self) -> None:
        """A redrive names a queue and perhaps a number."""
        self.commands(
            {
                b"redrive q": Redrive(b"q", 9_999_999_999),
                b"redrive q 5": Redrive(b"q", 5),
            },
            [b"redrive", b"redrive q 1 noreply"],
            [b"redrive q/open", b"redrive q 0", b"redrive q noreply"],
        )

    def test_aloneOnTheirLine(self) -> None:
        """Two commands are one word and nothing else."""
        self.commands(
            {b"reload": Reload(), b"dump_stats": DumpStats()},
            [b"reload noreply", b"dump_stats noreply"],
            [],
        )
