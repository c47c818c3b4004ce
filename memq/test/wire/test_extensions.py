"""The grammar of what MemcacheQ did not know, line by line."""

from __future__ import annotations

from itertools import permutations, product
from typing import TYPE_CHECKING

from hypothesis import given

from memq.errors import (
    BadDelay,
    BadLine,
    BadNumber,
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
    MAX_SEQUENCE,
    READS,
    WRITES,
    Add,
    AnyOf,
    Close,
    Confirm,
    DumpStats,
    Flush,
    Kill,
    Monitor,
    Move,
    Pause,
    Peek,
    Read,
    Reads,
    Redrive,
    Reload,
    Resume,
    Tail,
    Touch,
    parseLimit,
    parseOpened,
)
from memq.wire.forms import GETS, NUMBERED, SETS, SILENT
from memq.wire.text import Delete, Set, parse

if TYPE_CHECKING:
    from memq.wire.text import Command

#: The options of a get, and those that go together, in the order of the alphabet.
OPTIONS = (
    *(b"abort", b"abort=7", b"any", b"close", b"close=7", b"delay=7"),
    *(b"more", b"open", b"peek", b"t=7"),
)
TOGETHER = [
    (b"any",),
    (b"any", b"t=7"),
    (b"any", b"open"),
    (b"any", b"open", b"t=7"),
    (b"any", b"more", b"open"),
    (b"any", b"more", b"open", b"t=7"),
    (b"any", b"peek"),
    (b"any", b"peek", b"t=7"),
    (b"t=7",),
    (b"open",),
    (b"open", b"t=7"),
    (b"more", b"open"),
    (b"more", b"open", b"t=7"),
    (b"close",),
    (b"close", b"open"),
    (b"close", b"open", b"t=7"),
    (b"close", b"more", b"open"),
    (b"close", b"more", b"open", b"t=7"),
    (b"close=7",),
    (b"close=7", b"open"),
    (b"close=7", b"open", b"t=7"),
    (b"close=7", b"more", b"open"),
    (b"close=7", b"more", b"open", b"t=7"),
    (b"abort",),
    (b"abort", b"delay=7"),
    (b"abort=7",),
    (b"abort=7", b"delay=7"),
    (b"peek",),
    (b"peek", b"t=7"),
]
#: Those that are more than a flag, and the fields of the command.
MEANING: dict[bytes, dict[str, object]] = {
    b"t=7": {"wait": 7},
    b"delay=7": {"delay": 7},
    b"close=7": {"close": True, "number": 7},
    b"abort=7": {"abort": True, "number": 7},
}
#: Options that are wrong wherever they stand.
WRONG: dict[bytes, type[QueueError]] = {
    b"": UnknownOption,
    b"OPEN": UnknownOption,
    b"open=": UnknownOption,
    b"t": UnknownOption,
    b"delay": UnknownOption,
    b"delay=": BadDelay,
    b"delay=31536001": BadDelay,
    b"close=": BadNumber,
    b"abort=-1": BadNumber,
    b"abort=18446744073709551616": BadNumber,
    b"t=": BadWait,
    b"t=-1": BadWait,
    b"t=3600001": BadWait,
}


def expected(options: tuple[bytes, ...]) -> type[QueueError] | None:
    """Return what a get with these options is refused with, None if it is not."""
    seen = set()
    for option in options:
        name = b"".join(option.partition(b"=")[:2])
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
        plain = Read(b"q", key, None, False, False, False, False)
        read = plain._replace(**asked)  # type: ignore[arg-type]
        self.taken(read, b"get " + key)
        self.taken(read._replace(form=NUMBERED), b"gets " + key)

    def test_together(self) -> None:
        """Each set of options that go together is taken, in any order."""
        for options in TOGETHER:
            for ordered in permutations(options):
                asked: dict[str, object] = {}
                for option in options:
                    asked.update(MEANING.get(option, {option.decode(): True}))
                self.reads(b"/".join((b"q", *ordered)), **asked)

    def test_everySet(self) -> None:
        """Every one, two, three and four options are taken or refused as they ought."""
        count = 0
        for length in range(1, 5):
            for options in product(OPTIONS, repeat=length):
                count += self.check(options)
        # As many as TOGETHER has of one to four options, in any order.
        self.assertEqual(count, 8 * 1 + 10 * 2 + 8 * 6 + 3 * 24)

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
        for verb, form in ((b"get", GETS), (b"gets", NUMBERED)):
            plain = Read(b"b", b"b", None, False, False, False, False, form)
            reads = (
                plain._replace(queue=b"a", key=b"a/open", open=True),
                plain,
                plain._replace(key=b"b/t=5/open", wait=5, open=True),
                plain._replace(key=b"b/close", close=True),
            )
            self.taken(Reads(reads), verb + b" a/open b b/t=5/open b/close")

    def test_anyOf(self) -> None:
        """With any, a line reads from one queue; its words differ in waits at most."""
        read = Read(b"a", b"a/any/t=5/open", 5, True, False, False, False, any=True)
        reads = read, read._replace(queue=b"b", key=b"b/open/any", wait=None)
        self.taken(AnyOf(reads), b"get a/any/t=5/open b/open/any")
        for line in (
            b"get a/any b",
            b"get b a/any",
            b"get a/any b/open",
            b"get a/any/open b/any",
            b"get a/any/open b/any/t=5/peek",
            b"get a/any b/any c/close",
        ):
            self.refused(OptionsApart, line)

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

    @given(names)
    def test_anyName(self, name: bytes) -> None:
        """Any name can have options, and the key is kept as it was asked for."""
        key = name + b"/t=1/open"
        self.assertEqual(
            parse(b"get " + key), Read(name, key, 1, True, False, False, False)
        )

    def test_manyOptions(self) -> None:
        """A line of nothing but slashes is refused as quickly as another."""
        self.refused(UnknownOption, b"get q" + b"/" * 65_000)


class OpenedTests(GrammarTestCase):
    """Commands about one open read."""

    def test_close(self) -> None:
        """A delete with open= closes one; any other word stands where a time did."""
        for number in (0, 7, 18_446_744_073_709_551_615):
            self.taken(Close(b"q", number), b"delete q/open=%d" % number)
        self.taken(Close(b"q", 7), b"delete q/open=07 0")
        self.taken(Close(b"q", 7, SILENT), b"delete q/open=7 noreply")
        self.taken(Close(b"q", 7, SILENT), b"delete q/open=7 0 noreply")
        self.taken(Delete(b"q"), b"delete q")

    def test_touch(self) -> None:
        """A touch has 0 to 31536000 seconds."""
        for seconds in (0, 1, 31_536_000):
            line = b"touch q/open=7 %d" % seconds
            self.taken(Touch(b"q", 7, seconds), line)
            self.taken(Touch(b"q", 7, seconds, SILENT), line + b" noreply")
        for word in (b"x", b"-1", b"31536001", b"1.5"):
            self.refused(BadLine, b"touch q/open=7 " + word)
            line = b"touch q/open=7 %b noreply" % word
            self.refused(BadLine, line, noreply=True)

    def test_words(self) -> None:
        """Both have as many words as are needed, and no others."""
        self.refused(UnknownCommand, b"touch q/open=7", b"touch q/open=7 1 1")
        self.refused(UnknownCommand, b"delete q/open=7 0 0", b"touch", b"touch q 0")

    def test_wrong(self) -> None:
        """The first error from the left is told."""
        for key, error in (
            (b"/open=7", BadLine),
            (b"q/open=", BadNumber),
            (b"q/open=-7", BadNumber),
            (b"q/open=18446744073709551616", BadNumber),
            (b"q/open=" + b"0" * 21, BadNumber),
            (b"q/open=7/open=7", OptionTwice),
            (b"q/open=x/close", BadNumber),
            (b"q/open=7/close", UnknownOption),
            (b"q/open", UnknownOption),
            (b"q/", UnknownOption),
            (b"q/t=1", UnknownOption),
        ):
            self.refused(error, b"delete " + key, b"touch %b 0" % key)
            self.refused(error, b"delete %b noreply" % key, noreply=True)
            self.refused(error, b"touch %b 0 noreply" % key, noreply=True)

    def test_key(self) -> None:
        """A key without options names no open message."""
        self.assertIs(type(parseOpened(b"q")), UnknownOption)


class DelayTests(GrammarTestCase):
    """Set with a delay."""

    def test_delay(self) -> None:
        """A delay is 0 to 31536000 seconds."""
        for delay in (0, 1, 31_536_000):
            line = b"set q/delay=%d 1 -2 3" % delay
            self.taken(Set(b"q", 1, 3, SETS, -2, delay), line)
        self.taken(Set(b"q", 0, 3, SILENT, 0, 5), b"set q/delay=5 0 0 3 noreply")
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
        self.taken(Add(b"q", 1, SILENT), b"add q 0 0 1 noreply")
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

    def test_looks(self) -> None:
        """A tail takes a pattern, a peek 1 to 10000 messages, a kill a number."""
        self.commands(
            {
                b"tail q*[a-z]": Tail(b"q*[a-z]"),
                b"peek q": Peek(b"q", 1),
                b"peek q 10000": Peek(b"q", 10_000),
                b"kill 1": Kill(1),
                b"kill 18446744073709551615": Kill(MAX_SEQUENCE),
            },
            [b"tail", b"tail a b", b"peek", b"peek q 1 1", b"kill", b"kill 1 noreply"],
            [
                *(b"tail a/b", b"peek q 0", b"peek q 10001", b"peek q/open", b"kill x"),
                b"kill 18446744073709551616",
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
