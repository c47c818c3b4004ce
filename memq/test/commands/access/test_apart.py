"""Apart: a user with any rights never changes, nor sees, a queue without one.

The same is done to several servers.  Where others did nothing to the queues that the
user has no right for, it hears the very same; and where it did nothing at all, those
queues are the very same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hypothesis import given
from hypothesis import strategies as some

from memq.access.rights import Rights
from memq.test.commands.access.test_seen import figuresOf
from memq.test.support.harness import Harness
from memq.test.support.stepped import SteppedTestCase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memq.test.support.fakes import FakeStore

NAMES = [b"a", b"ab", b"b", b"c"]
#: What a user says of queues p and q; and what others do to p.
SAID = [
    *(b"set %(p)b 0 0 2\r\nhi\r\n", b"set %(p)b/delay=1 0 0 2\r\nhi\r\n"),
    *(b"ms %(p)b 2 c\r\nhi\r\n", b"add %(p)b 0 0 1\r\n2\r\n"),
    *(b"get %(p)b\r\n", b"gets %(p)b %(q)b\r\n", b"mg %(p)b v s c h t l\r\n"),
    *(b"get %(p)b/open\r\n", b"get %(p)b/open/more\r\n", b"get %(p)b/close/open\r\n"),
    *(b"get %(p)b/close\r\n", b"get %(p)b/abort\r\n", b"get %(p)b/abort/delay=1\r\n"),
    *(b"get %(p)b/any %(q)b/any\r\n", b"get %(p)b/open/any %(q)b/open/any\r\n"),
    *(b"get %(p)b/peek %(q)b/peek\r\n", b"get %(p)b/t=1000 %(q)b\r\n"),
    *(b"delete %(p)b\r\n", b"md %(p)b\r\n", b"delete %(p)b/open=0\r\n"),
    *(b"touch %(p)b/open=0 5\r\n", b"confirm %(p)b 2\r\n", b"monitor %(p)b 0 3\r\n"),
    *(b"monitor %(p)b 1 2\r\n", b"peek %(p)b 3\r\n", b"stats peek %(p)b\r\n"),
    *(b"flush %(p)b\r\n", b"pause %(p)b writes\r\n", b"resume %(p)b\r\n"),
    *(b"move %(p)b %(q)b\r\n", b"move %(p)b %(q)b 1\r\n", b"redrive %(p)b\r\n"),
    *(b"flush_all\r\n", b"rule set %(p)b max_items 1\r\n", b"rule show %(p)b\r\n"),
    *(b"rule list\r\n", b"stats queue\r\n", b"stats detail\r\n", b"dump_stats\r\n"),
    *(b"stats detail *b\r\n", b"me %(p)b\r\n", b"stats settings\r\n", b"kill 1\r\n"),
    *(b"stats conns\r\n", b"stats reset\r\n", b"reload\r\n", b"db_checkpoint\r\n"),
    *(b"import begin " + b"0" * 32 + b"\r\n", b"import put YQ==\r\n"),
]
DONE = [
    *(b"set %(p)b 0 0 1\r\nx\r\n", b"get %(p)b\r\n", b"get %(p)b/open/more\r\n"),
    *(b"delete %(p)b\r\n", b"flush %(p)b\r\n", b"pause %(p)b\r\n"),
    *(b"resume %(p)b\r\n", b"set %(p)b/delay=1 0 0 1\r\ny\r\n"),
]
#: Figures of plain stats that tell of queues.
OF_QUEUES = ("queues", "messages", "curr_items", "bytes", "get_expired", "evictions")


#: What changes nothing.
IDLE = b"verbosity 1\r\n"


class Step(NamedTuple):
    """A line of the user, or of others."""

    isUser: bool
    line: bytes
    queues: tuple[bytes, bytes]

    @property
    def sent(self) -> bytes:
        """Return its bytes."""
        return self.line % {b"p": self.queues[0], b"q": self.queues[1]}


names = some.sampled_from(NAMES)
pairs = some.tuples(names, names).filter(lambda pair: pair[0] != pair[1])
steps = some.lists(
    some.builds(Step, some.just(True), some.sampled_from(SAID), pairs)
    | some.builds(Step, some.just(False), some.sampled_from(DONE), pairs),
    min_size=3,
    max_size=25,
)
#: Names, and patterns that match some.
patterns = some.lists(some.sampled_from([*NAMES, b"a*", b"[!b]"]), max_size=2)


class ApartTests(SteppedTestCase):
    """A user beside others."""

    def serve(
        self, done: Iterable[Step], rights: Rights
    ) -> tuple[list[object], FakeStore]:
        """Return what a user and its tail hear, and what is stored in the end."""
        harness = Harness(flushAllEnabled=True)
        for name in NAMES:
            harness.store.fill(name, b"1")
        other = harness.connect()
        user, tail = (harness.connect(rights=rights) for _ in range(2))
        tail.talk(b"tail *\r\n")
        heard: list[object] = []
        for step in done:
            (user if step.isUser else other).send(step.sent)
            harness.pass_(1)
            heard.append((user.read(), tail.read()))
        harness.pass_(1)
        figures = figuresOf(user.talk(b"stats\r\n"))
        heard += [
            (name, figures[name])
            for name in sorted(figures)
            if name in OF_QUEUES or name.startswith("queue_")
        ]
        return heard, harness.store

    def told(self, store: FakeStore, queues: list[bytes]) -> list[object]:
        """Return what is known of some queues, and their messages."""
        lines = store.dump().split("\n")
        dump = {line.partition(" ")[0].encode(): line for line in lines}
        return [
            (store.detail(name), store.settings(name), dump.get(name))
            for name in queues
        ]

    @given(steps, patterns, patterns, patterns)
    def test_apart(
        self,
        done: list[Step],
        write: list[bytes],
        read: list[bytes],
        manage: list[bytes],
    ) -> None:
        """It neither hears of nor changes what it has no right for."""
        rights = Rights(write, read, manage)
        without = [name for name in NAMES if not rights[name]]
        heard, store = self.serve(done, rights)
        # What is left out takes its time all the same.
        fewer = [
            each._replace(line=IDLE)
            if not each.isUser and each.queues[0] in without
            else each
            for each in done
        ]
        self.assertEqual(self.serve(fewer, rights)[0], heard)
        others = [each._replace(line=IDLE) if each.isUser else each for each in done]
        _, alone = self.serve(others, rights)
        self.assertEqual(self.told(alone, without), self.told(store, without))
