"""Figures of queues, read again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from memq.client.figures import Figures, collect, detail, details
from memq.test.support.commandline import Script
from memq.wire.figures import FIGURES, QueueFigures, formatDetails

if TYPE_CHECKING:
    from collections.abc import Sequence


def lines(*queues: tuple[bytes, dict[str, object]]) -> bytes:
    """Return what is told of queues with these rules; a figure is its place."""
    numbers = range(len(FIGURES))
    rows = [QueueFigures(name, numbers, rules.items()) for name, rules in queues]
    return formatDetails(rows) + b"END\r\n"


def told(text: bytes) -> list[tuple[bytes, bytes]]:
    """Return the names and values of lines."""
    words = [line.split(b" ", 2) for line in text.split(b"\r\n")[:-2]]
    return [(name, value) for _, name, value in words]


class FiguresTests(SynchronousTestCase):
    """Queues among lines."""

    def read(self, *queues: tuple[bytes, dict[str, object]]) -> Sequence[Figures]:
        """Check that queues are read as they were told, and return them."""
        found = list(collect(told(lines(*queues))))
        for (name, rules), figures in zip(queues, found, strict=True):
            self.assertEqual(figures.name, name)
            self.assertEqual(figures.numbers, {n: i for i, n in enumerate(FIGURES)})
            self.assertEqual(figures.rules, {k: str(v) for k, v in rules.items()})
        return found

    def test_queues(self) -> None:
        """Each queue has its figures and rules; one that is not told is 0."""
        self.assertEqual(self.read(), [])
        one, _ = self.read((b"a", {"max_items": 5, "paused": "both"}), (b"b", {}))
        self.assertEqual(one.number("bytes"), 1)
        self.assertEqual(one.number("colour"), 0)

    def test_names(self) -> None:
        """Names may look like figures, like rules, and like both together."""
        self.read((b"a", {}), (b"a_max", {}), (b"a_max_items", {"max_items": 1}))
        self.read((b"a", {"max_items": 1, "max_bytes": 2}), (b"a_max", {}))
        self.read((b"items", {}), (b"queue_items", {}), (b"_", {}), (b"\\xff", {}))

    def test_left(self) -> None:
        """What a front end of a cluster cannot tell is left out, and is no figure."""
        known = tuple(name for name in FIGURES if name not in ("age", "delayed"))
        numbers = range(len(known))
        rows = [QueueFigures(each, numbers, (), known) for each in (b"a", b"b")]
        one, two = collect(told(formatDetails(rows) + b"END\r\n"))
        self.assertEqual((one.name, two.name), (b"a", b"b"))
        self.assertEqual(one.numbers, {n: i for i, n in enumerate(known)})

    def test_short(self) -> None:
        """Lines that are no queue's are left out."""
        self.assertEqual(list(collect([(b"queue_a_items", b"1")])), [])

    def test_asked(self) -> None:
        """All are asked for, those that match, or one, which may be none."""
        both = lines((b"a*", {}), (b"ab", {}))
        script = Script(self, both, both, both, b"END\r\n")
        with script.connection() as connection:
            self.assertEqual(len(list(details(connection))), 2)
            self.assertEqual(len(list(details(connection, b"a*"))), 2)
            self.assertEqual(detail(connection, b"a*").name, b"a*")
            self.assertEqual(detail(connection, b"c"), Figures(b"c", {}, {}))
        topics = [
            b"stats detail",
            *(b"stats detail " + n for n in (b"a*", b"a*", b"c")),
        ]
        self.assertEqual(script.sent.split(b"\r\n"), [*topics, b""])
