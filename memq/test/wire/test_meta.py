"""The grammar of the meta protocol, and its replies."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.errors import (
    BadDelay,
    BadLine,
    BadToken,
    DuplicateFlag,
    InvalidFlag,
    InvalidMode,
    KeyNotDecoded,
    LongOpaque,
    Meaningless,
    NotOpen,
    NotStored,
    OpenUnseen,
    OptionsApart,
    Refusing,
    UnknownCommand,
    UnknownOption,
)
from memq.message import LargeBody, Message
from memq.test.wire.test_text import GrammarTestCase, names
from memq.wire.commands import Delete, Describe, Get, Noop, Set
from memq.wire.extensions import Close, Read
from memq.wire.forms import PLAIN, Details, Form
from memq.wire.meta import MetaForm, MetaValues
from memq.wire.text import KEPT_LINE, parse, parseShort

#: Letters of flags, and what may stand behind them.
_flags = some.tuples(
    some.sampled_from("bkOqvsfcthluPLTFIMNRECDJxSz5"),
    some.sampled_from([b"", b"0", b"7", b"S", b"-1", b"%d", b"x" * 40]),
).map(lambda drawn: drawn[0].encode() + drawn[1])


def form(line: bytes) -> Form:
    """Return the form of the replies to a line."""
    command = parse(line)
    assert isinstance(command, Set | Get | Read | Delete | Close | Describe | Noop)
    return command.form


class LineTests(GrammarTestCase):
    """Lines become commands."""

    def same(self, line: bytes, expected: object) -> None:
        """Assert what a line is but for its form, in each way that it is written."""
        for written in (line, line + b"\r", b" " + line.replace(b" ", b"  ") + b" "):
            found: Any = parse(written)
            self.assertEqual(found._replace(form=PLAIN), expected)

    def test_set(self) -> None:
        """A set has a key, a size, flags, an exptime and a mode."""
        plain = Set(b"q", 0, 3, PLAIN)
        self.same(b"ms q 3", plain)
        self.same(b"ms q 3 MS I k q O", plain)
        self.same(
            b"ms q 3 F4294967295 T60", plain._replace(flags=2**32 - 1, exptime=60)
        )
        self.same(b"ms q 3 T-5 L1 P u v", plain._replace(exptime=-5))
        self.same(b"ms cQ== 3 b", plain)
        self.same(b"ms q/delay=9 2147483645", plain._replace(size=2147483645, delay=9))

    def test_get(self) -> None:
        """A get with a value is as fast as one of text's, if it can be."""
        plain = Get((b"q",), PLAIN)
        for line in (b"mg q v", b"mg q v k O1 q s f c u P L", b"mg cQ== b v"):
            self.same(line, plain)
        read = Read(b"q", b"q", None, False, False, False, False, PLAIN)
        for line in (b"mg q v h", b"mg q l v", b"mg q t v k"):
            self.same(line, read)
        self.same(
            b"mg q/open/t=7 v", read._replace(key=b"q/open/t=7", open=True, wait=7)
        )
        self.same(b"mg q/peek v", read._replace(key=b"q/peek", peek=True))

    def test_look(self) -> None:
        """Without a value it looks, unless its options end something."""
        read = Read(b"q", b"q", None, False, False, False, True, PLAIN)
        for line in (b"mg q", b"mg q k s", b"mg q h q", b"mg cQ== b"):
            self.same(line, read)
        self.same(b"mg q/t=7", read._replace(key=b"q/t=7", wait=7))
        self.same(b"mg q/peek", read._replace(key=b"q/peek"))
        ending = read._replace(peek=False)
        self.same(b"mg q/close", ending._replace(key=b"q/close", close=True))
        self.same(b"mg q/abort v", ending._replace(key=b"q/abort", abort=True))
        self.same(b"mg q/abort", ending._replace(key=b"q/abort", abort=True))
        self.refused(OpenUnseen, b"mg q/open", b"mg q/close/open k", b"mg q/open/more")

    def test_others(self) -> None:
        """A delete, the figures of a queue, and nothing at all."""
        delete = Delete(b"q", PLAIN)
        for line in (b"md q", b"md q q k O1 u", b"md cQ== b"):
            self.same(line, delete)
        close = Close(b"q", 5, PLAIN)
        self.same(b"md q/open=5 k", close)
        self.same(b"me q", Describe(b"q", PLAIN))
        self.same(b"me cQ== b", Describe(b"q", PLAIN))
        self.same(b"mn", Noop(PLAIN))

    def test_refused(self) -> None:
        """A mistake is told, the first from the left among flags."""
        lines = (b"mg q ", b"md q ")
        for error, flags in (
            (DuplicateFlag, (b"k k", b"v v", b"q k q")),
            (InvalidFlag, (b"z", b"5", b"\xff", b"k noreply")),
            (Meaningless, (b"N1", b"R", b"E5", b"C5", b"x", b"J", b"D1", b"I", b"T0")),
            (LongOpaque, (b"O" + b"x" * 33,)),
            (KeyNotDecoded, (b"b",)),
        ):
            for flag in flags:
                if flag != b"v v":
                    self.refused(error, *[line + flag for line in lines])
                if flag not in (b"I", b"T0", b"5", b"\xff"):
                    self.refused(error, b"ms q 3 " + flag, size=3)
        self.refused(Meaningless, b"ma q", b"ma", b"ma q D5 N0")
        self.refused(BadLine, b"mg", b"md", b"me", b"mn q", b"me q/open", b"mg a\tb v")
        self.refused(UnknownOption, b"mg q/x v", b"mg q/x", b"md q/x")
        self.refused(OptionsApart, b"mg q/abort/peek v")
        self.refused(UnknownCommand, b"mx q", b"mgq", b"m")

    def test_refusedSets(self) -> None:
        """A set that is refused says how long its body is, or closes."""
        for error, line in (
            *(
                (BadToken, b"ms q 3 F"),
                (BadToken, b"ms q 3 Fx"),
                (BadToken, b"ms q 3 T"),
            ),
            *((BadToken, b"ms q 3 F4294967296"), (BadToken, b"ms q 3 T12345678901")),
            *((InvalidMode, b"ms q 3 M"), (InvalidMode, b"ms q 3 MZ")),
            *(
                (Meaningless, b"ms q 3 " + mode)
                for mode in (b"ME", b"MA", b"MP", b"MR")
            ),
            *((BadDelay, b"ms q/delay=x 3"), (UnknownOption, b"ms q/open 3")),
            *(
                (BadLine, b"ms a\x01 3"),
                (BadLine, b"ms IA== 3 b"),
                (BadLine, b"ms q S3"),
            ),
            *((BadLine, b"ms q T0 S3"), (BadLine, b"ms " + b"n" * 251 + b" 3")),
        ):
            self.refused(error, line, size=3)
        self.refused(
            BadLine,
            *(b"ms", b"ms q", b"ms q x", b"ms q -1", b"ms q 2147483646", b"ms my q 3"),
            *(b"ms q 0 3", b"ms q S3 S4", b"ms q Sx", b"ms q S3 4", b"ms q T0"),
            closes=True,
        )

    @given(names, some.lists(_flags, max_size=6))
    def test_anyFlags(self, name: bytes, flags: list[bytes]) -> None:
        """Any flags of any command are a command, or are refused."""
        for verb in (b"mg", b"ms", b"md", b"me", b"ma", b"mn"):
            for size in ([], [b"5"]):
                parse(b" ".join([verb, name, *size, *flags]))

    @given(names)
    def test_anyKey(self, name: bytes) -> None:
        """Any name may be in base64."""
        command = parse(b"mg %b b k v" % b64encode(name))
        assert isinstance(command, Get)
        self.assertEqual(command.queues, (name,))
        self.assertEqual(command.form.none, b"EN k%b b\r\n" % b64encode(name))

    def test_kept(self) -> None:
        """Equal lines have one form, as long as lines are kept."""
        for line in (b"mg q v f", b"ms q 5 k", b"mg q v O" + b"x" * 32):
            kept: list[Any] = [parseShort(line), parseShort(line)]
            self.assertIs(kept[0].form, kept[1].form)
        self.assertGreater(KEPT_LINE, len(b"mg v f k " + b"n" * 250))


class ReplyTests(SynchronousTestCase):
    """Replies."""

    message = Message(1, 9, 7, 0, b"body")
    details = Details(deliveries=2, age=30, left=-1)

    def test_words(self) -> None:
        """Success and failure are two letters and the flags that are repeated."""
        for line, done, none in (
            (b"ms q 5", b"HD\r\n", b""),
            (b"ms q 5 k s O%s", b"HD kq s5 O%s\r\n", b""),
            (b"ms q 5 k q", b"", b""),
            (b"ms q 5 k q c", b"", b""),
            (b"ms q 5 k c s", b"HD kq s5\r\n", b""),
            (b"mg q v k", b"EN kq\r\n", b"EN kq\r\n"),
            (b"mg q/close v q", b"", b""),
            (b"mg q/close k q s", b"HD kq/close\r\n", b""),
            (b"md q O1 k", b"HD O1 kq\r\n", b"NF O1 kq\r\n"),
            (b"md q O1 q", b"", b""),
            (b"mn", b"MN\r\n", b""),
            (b"me q", b"", b"EN\r\n"),
        ):
            self.assertEqual((form(line).done, form(line).none), (done, none), line)

    def test_stored(self) -> None:
        """A set tells the number of its message, if it is to."""
        for line, told in (
            *(
                (b"ms q 5", b"HD\r\n"),
                (b"ms q 5 c", b"HD c7\r\n"),
                (b"ms q 5 c q", b""),
            ),
            (b"ms q 5 s c k O%d", b"HD s5 c7 kq O%d\r\n"),
        ):
            self.assertEqual(form(line).stored(7), told)

    def test_errors(self) -> None:
        """A refusal is NS, what is not open is not there; others are their lines."""
        refused = NotStored(b"q", b"q", Refusing.FULL)
        for line, stored in (
            *((b"ms q 5 k", b"NS kq\r\n"), (b"ms q 5 q", b"NS\r\n")),
            (b"ms q 5 q O1 s", b"NS O1 s5\r\n"),
        ):
            self.assertEqual(form(line).error(refused), stored)
            self.assertEqual(form(line).error(UnknownCommand()), b"ERROR\r\n")
        self.assertEqual(form(b"mg q/close=5 k").error(NotOpen()), b"EN kq/close=5\r\n")

    def test_values(self) -> None:
        """A message is a size and what is asked for, in that order, and its body."""
        for flags, head in (
            (b"v", b"VA 4"),
            (b"v k O5% q", b"VA 4 kq O5%"),
            (b"f v", b"VA 4 f7"),
            (b"c f s k v", b"VA 4 c9 f7 s4 kq"),
            (b"t v h l s O%d", b"VA 4 t-1 h2 l30 s4 O%d"),
        ):
            shown = form(b"mg q " + flags)
            value = shown.value(b"q", self.message, self.details)
            self.assertEqual(value, head + b"\r\nbody\r\n")
            self.assertEqual(shown.tail, b"\r\n")
            large = self.message._replace(body=b"", large=LargeBody(1, 70_000, 2))
            told = shown.head(b"q", large, self.details)
            self.assertEqual(told, head.replace(b"4", b"70000") + b"\r\n")

    def test_looks(self) -> None:
        """Without a body it is what is asked for, and nothing follows."""
        for flags, head in (
            *((b"", b"HD"), (b" k q O", b"HD kq O"), (b" s c", b"HD s4 c9")),
            (b" l k h f", b"HD l30 kq h2 f7"),
        ):
            shown = form(b"mg q" + flags)
            self.assertIsInstance(shown, MetaValues)
            value = shown.value(b"q", self.message, self.details)
            self.assertEqual((value, shown.tail), (head + b"\r\n", b""))

    def test_figures(self) -> None:
        """The figures of a queue are one line, none is none."""
        told = form(b"me cQ== b")
        self.assertEqual(told.figures(b"a=1 b=2"), b"ME cQ== a=1 b=2\r\n")
        self.assertEqual(told.figures(b""), b"EN\r\n")

    def test_log(self) -> None:
        """The log has the flags as they came."""
        self.assertEqual(str(form(b"ms q 5 k O\xff T0")), "ms k O\\xff T0")
        self.assertEqual(str(form(b"mn")), "mn")
        self.assertIsInstance(form(b"mn"), MetaForm)
