"""Lines of an import, and lines that are none."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.display import shownCommand
from memq.errors import BadLine, UnknownCommand
from memq.wire.imports.grammar import MAX_CHUNK, Begin, Put, beginLine, putLine
from memq.wire.text import MAX_LINE, Refused, parse

TOKEN = bytes(range(16))
HEX = TOKEN.hex().encode()


class GrammarTests(SynchronousTestCase):
    """What a line is."""

    def test_begin(self) -> None:
        """It has a token, and may say that queues are appended to."""
        for append in (False, True):
            line = beginLine(TOKEN, append).removesuffix(b"\r\n")
            self.assertEqual(parse(line), Begin(HEX, append))

    def test_put(self) -> None:
        """It has a chunk, of any bytes, as long as a line may be; no log shows it."""
        for data in (b"\xff\xfe\xfb", bytes(MAX_CHUNK)):
            line = putLine(data).removesuffix(b"\r\n")
            self.assertLessEqual(len(line), MAX_LINE)
            command = parse(line)
            assert isinstance(command, Put)
            self.assertEqual(command.chunk.data, data)
        self.assertEqual(shownCommand(command), f"put chunk={MAX_CHUNK}")

    def refused(self, line: bytes) -> type:
        """Return the error of a line."""
        command = parse(line)
        assert isinstance(command, Refused)
        return type(command.error)

    def test_refused(self) -> None:
        """Anything else is refused."""
        for line in (b"import", b"import q", b"import put", b"import put a b"):
            self.assertIs(self.refused(line), UnknownCommand)
        self.assertIs(self.refused(b"import begin " + HEX + b" now"), UnknownCommand)
        for line in (
            b"import begin " + HEX[:-1],
            b"import begin " + HEX.replace(b"0", b"g"),
            b"import put YQ",
            b"import put ====",
            b"import put YQ==YQ==",
            b"import put Y+Q/",
            putLine(bytes(MAX_CHUNK + 1))[:-2],
        ):
            self.assertIs(self.refused(line), BadLine, line[:40])
