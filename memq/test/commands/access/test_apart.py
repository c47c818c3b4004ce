"""Apart: a user with any rights never changes, nor sees, a queue without one.

The same is done to several servers.  Where others did nothing to the queues that the
user has no right for, it hears the very same; and where it did nothing at all, those
queues are the very same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hypothesis import example, given
from hypothesis import strategies as some

from memq.access.rights import Rights
from memq.test.commands.access.test_seen import figuresOf
from memq.test.support.harness import Harness
from memq.test.support.stepped import SteppedTestCase

if TYPE_CHECKING:
    from collections.abc import Callable

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


class Life(NamedTuple):
    """What happens to a server.

    :ivar rights: those of the user at first, and those from the middle on.
    """

    steps: list[Step]
    rights: tuple[Rights, Rights]

    @property
    def without(self) -> list[bytes]:
        """Return the queues for which the user never has a right."""
        first, then = self.rights
        return [name for name in NAMES if not first[name] | then[name]]

    def idle(self, leavesOut: Callable[[Step], bool]) -> Life:
        """Return one without some of the steps, which take their time all the same."""
        steps = [
            each._replace(line=IDLE) if leavesOut(each) else each for each in self.steps
        ]
        return self._replace(steps=steps)


def _rights(patterns: tuple[list[bytes], list[bytes], list[bytes]]) -> Rights:
    return Rights(*patterns)


rights = some.tuples(patterns, patterns, patterns).map(_rights)
lives = some.builds(Life, steps, some.tuples(rights, rights))


#: A user that is cut off, since it has open what it may not read any more.
CUT = Life(
    [Step(True, b"get %(p)b/open\r\n", (b"a", b"b")), Step(True, IDLE, (b"a", b"b"))],
    (Rights(read=[b"a"]), Rights()),
)


class Rig:
    """A server with others, a user, and a tail of that."""

    def __init__(self, life: Life) -> None:
        self.harness = harness = Harness(flushAllEnabled=True)
        for name in NAMES:
            harness.store.fill(name, b"1")
        self.other = harness.connect()
        self.user, self.tail = (harness.connect(rights=life.rights[0]) for _ in "ut")
        self.tail.talk(b"tail *\r\n")
        self.heard: list[object] = []
        for number, step in enumerate(life.steps):
            if number == len(life.steps) // 2:
                self.change(life.rights[1])
            (self.user if step.isUser else self.other).send(step.sent)
            self.listen()
        self.listen()
        figures = figuresOf(self.user.talk(b"stats\r\n"))
        self.heard += [
            (name, figures[name])
            for name in sorted(figures)
            if name in OF_QUEUES or name.startswith("queue_")
        ]

    def listen(self) -> None:
        """Let a second pass, and note what the user and its tail hear."""
        self.harness.settle()
        self.harness.pass_(1)
        self.heard.append((self.user.read(), self.tail.read()))

    def change(self, rights: Rights) -> None:
        """Let the user have other rights, and connect again if it is cut off."""
        for client in (self.user, self.tail):
            client.protocol._commands.changeRights(rights)
        self.harness.reactor.advance(0)
        self.heard.append(self.user.isClosed)
        if self.user.isClosed:
            self.user.end()
            self.user = self.harness.connect(rights=rights)

    def told(self, queues: list[bytes]) -> list[object]:
        """Return what is known of some queues, and their messages."""
        store = self.harness.store
        lines = store.dump().split("\n")
        dump = {line.partition(" ")[0].encode(): line for line in lines}
        return [
            (store.detail(name), store.settings(name), dump.get(name))
            for name in queues
        ]


class ApartTests(SteppedTestCase):
    """A user beside others."""

    @example(CUT)
    @given(lives)
    def test_apart(self, life: Life) -> None:
        """It neither hears of nor changes what it has no right for."""
        without = life.without
        rig = Rig(life)
        unseen = Rig(
            life.idle(lambda step: not step.isUser and step.queues[0] in without)
        )
        self.assertEqual(unseen.heard, rig.heard)
        alone = Rig(life.idle(lambda step: step.isUser))
        self.assertEqual(alone.told(without), rig.told(without))
