"""Any sequence of commands, kills and time, against a model of what queues can do.

Without a clock there are pipelines of plain commands, cut anywhere; with one there are
rules, waiting reads, open reads, delays and expiry as well.  The model is
memq.test.support.model, and its machine says what is real.

In CI the same hundred examples of each run each time; ``make torture`` draws others.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from random import randrange

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as some
from hypothesis.stateful import initialize, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from memq.broker import broker
from memq.test.support.homes import MEMORY
from memq.test.support.model.commands import MAX_BODY, Set, Word
from memq.test.support.model.draws import (
    NAMES,
    commands,
    moves,
    people,
    pipelines,
    rarely,
    tables,
)
from memq.test.support.model.machine import Machine
from memq.test.support.model.moves import Move, Redrive, StatsPeek
from memq.test.support.model.queues import READS, WRITES
from memq.test.support.model.reads import Delete, Get, Monitor, Read, Touch
from memq.test.support.torture import report, rounds

EXAMPLES = 100
#: Of an example: how many rules run.
STEPS = {"model": 12, "clockmodel": 6}

clients = some.integers(0, 2)
anything = pipelines(NAMES)
steps = some.integers(0, 6)
#: Small messages are packed when they come together, as in a server, or always.
packed = some.sampled_from([2, 1])


class PlainMachine(Machine):
    """Pipelines of plain commands; no time passes that matters."""

    begin = initialize(rules=some.just({}), noSync=some.booleans(), leastPacked=packed)(
        Machine.begin
    )
    talk = rule(
        who=clients,
        what=anything,
        cuts=some.lists(some.floats(0, 1)),
        naps=some.booleans(),
    )(Machine.talk)
    together = rule(
        one=pipelines(NAMES[:2], ofAll=False), two=pipelines(NAMES[2:], ofAll=False)
    )(Machine.together)
    leave = rule(who=clients, what=anything, turns=some.integers(0, 3))(Machine.leave)
    breakOff = rule(
        who=clients,
        name=some.just(NAMES[0]),
        cut=some.floats(0, 1),
        size=some.integers(0, MAX_BODY),
    )(Machine.breakOff)
    restart = rule(isKilled=some.booleans())(Machine.restart)
    killBusy = rule(who=clients, what=anything, steps=steps)(Machine.killBusy)


class ClockMachine(Machine):
    """Commands one by one, of all that queues can do; rules, and time that passes."""

    begin = initialize(rules=tables, noSync=some.booleans(), leastPacked=packed)(
        Machine.begin
    )
    reload = rule(moves=moves, rules=tables, isMistaken=rarely)(Machine.reload)
    restart = rule(
        moves=moves, gap=some.sampled_from([0, 1, 5]), isKilled=some.booleans()
    )(Machine.restart)
    killBusy = rule(
        moves=moves, who=people, what=commands.map(lambda it: [it]), steps=steps
    )(Machine.killBusy)


class ModelTests(SynchronousTestCase):
    """The server and the model."""

    def machine(self, kind: type[Machine], number: int) -> type[Machine]:
        """Return a machine whose failures say with which seed it began."""
        directory = tempfile.mkdtemp(dir=MEMORY)
        self.addCleanup(shutil.rmtree, directory)
        made = type(
            f"{kind.__name__}WithSeed{number}",
            (kind,),
            {"directory": directory, "ran": Counter()},
        )
        return seed(number)(made)

    def run_(self, name: str, kind: type[Machine]) -> None:
        """Run the examples."""
        # So that a kill often comes in the middle of a sweep.
        self.patch(broker, "SWEEP_MESSAGES", 1)
        chosen = settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS[name],
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        ran: Counter[str] = Counter()
        for number in rounds(1):
            # The first ones are always the same.
            machine = self.machine(kind, number and randrange(1 << 32))
            run_state_machine_as_test(machine, settings=chosen)
            ran += machine.ran
            examples = EXAMPLES * (number + 1)
        report(name, examples=examples, rules=ran)
        self.assertGreater(min(ran.values()), EXAMPLES // 20, ran)
        self.ran = ran

    def test_anySequence(self) -> None:
        """Any sequence of commands, restarts and kills does what the model says."""
        self.run_("model", PlainMachine)
        self.assertEqual(len(self.ran), 7)

    def test_withClock(self) -> None:
        """Any sequence of all that queues can do does what the model says."""
        self.run_("clockmodel", ClockMachine)

    def test_rare(self) -> None:
        """Rare cases come about too."""
        w, large = b"w", 70000
        machine = self.machine(ClockMachine, 0)()
        machine.begin(rules={}, noSync=False)
        put, wait = Set(w, 6, 1), Read(w, b"", 6500)
        machine.go(
            [
                # The message to be closed is gone already.
                (0, put),
                (0, Read(w, b"open")),
                (1, Word(b"flush", w)),
                (0, Read(w, b"close")),
                # The second one that waits is to have one, and the first one takes it.
                (0, Word(b"pause", w, READS)),
                (1, wait),
                (1, Get((w,))),
                (2, wait),
                (0, put),
                (0, put),
                (0, Word(b"resume", w)),
                (0, put),
                # A body in parts is deleted before it was sent.
                (1, Read(w, b"open", 6500)),
                (1, Word(b"delete", w)),
                (0, Set(w, large, 2, delay=1)),
                (0, 2.0),
                (0, put),
                # Returned messages keep their order, while another one is open.
                *[(3, Set(b"x", 6, number)) for number in (1, 2, 3)],
                *[(who, Read(b"x", b"open")) for who in (3, 4, 5)],
                *[(who, Read(b"x", b"abort")) for who in (5, 3)],
                (3, Get((b"x", b"x"), number=True)),
                # Somebody waits when it is killed.
                (2, Read(b"y", b"", 6500)),
            ]
        )
        # It is flushed, and not answered.
        machine.killBusy(0, [Word(b"delete", w)], 3)
        machine.go([(0, wait), (0, Monitor(w, 1, 1))])
        # Nothing moves any more when it stops.
        machine.go([(0, Set(b"x", 6, 1)), (0, Move(b"x", w, 1)), (0, Redrive(w, 1))])
        machine.teardown()

    def test_workers(self) -> None:
        """A worker with several open reads ends, extends and retries each by itself."""
        w = b"w"
        machine = self.machine(ClockMachine, 0)()
        rules = {w: {"open_timeout": 3.5, "max_open": 3, "max_deliveries": 3}}
        machine.begin(rules=rules, noSync=False)
        more = (0, Read(w, b"open/more"))
        later = (0, Read(w, b"abort=N/delay=D", None, 1, delay=3))
        machine.go([*[(1, Set(w, 6, number)) for number in range(6)], *[more] * 4])
        # The second one lasts longer than the others, and is tried later then.
        machine.go([(0, 3.0), (0, Touch(w, 1, 4)), (0, 1.0), later, (0, 5.0), more])
        # The one in the middle is closed, and those around it go on.
        machine.go(
            [more, more, (0, Delete(w, 1)), (0, Delete(w, 6)), (1, Delete(w, 0))]
        )
        machine.go([(0, Read(w, b"close=N/open/more")), (0, Touch(w, 0, 0)), (0, 2.0)])
        for steps in range(7):
            machine.go([more, more])
            machine.killBusy(0, [later[1]], steps)
        machine.go([more, later])
        machine.restart(isKilled=True, gap=1)
        machine.go([(0, 5.0), (0, Get((w, w, w, w)))])
        machine.teardown()

    def test_madeAgain(self) -> None:
        """In a queue that is made again, a number means the new message."""
        w = b"w"
        machine = self.machine(ClockMachine, 0)()
        machine.begin(rules={}, noSync=False)
        machine.go([(0, Set(w, 6, 1)), (0, Read(w, b"open")), (1, Word(b"delete", w))])
        machine.go([(1, Set(w, 6, 2)), (0, Read(w, b"open/more")), (0, Touch(w, 0, 1))])
        machine.go([(0, 2.0), (0, Delete(w, 0)), (0, Get((w,)))])
        machine.teardown()

    def test_dropped(self) -> None:
        """A full queue drops its oldest message for a new one, if it is to."""
        machine = self.machine(ClockMachine, 0)()
        rules = {b"w": {"max_items": 1, "overflow": "drop-oldest"}}
        machine.begin(rules=rules, noSync=False)
        sets = [(0, Set(b"w", 6, number)) for number in (1, 2, 3)]
        machine.go([*sets, (0, Get((b"w", b"w")))])
        machine.teardown()

    def test_buried(self) -> None:
        """What came back too often goes to the queue for dead letters, or nowhere."""
        machine = self.machine(ClockMachine, 0)()
        machine.begin(
            rules={
                b"w": {"max_deliveries": 1, "dead_letter": "x"},
                b"y": {"max_deliveries": 1},
            },
            noSync=False,
        )
        for name in (b"w", b"y"):
            reads = [Read(name, b"open"), Read(name, b"abort"), Get((name,))]
            machine.go([(0, Set(name, 6, 1)), *[(0, each) for each in reads]])
        machine.go([(0, Get((b"x",)))])
        machine.teardown()

    def test_leaves(self) -> None:
        """What a client had open in two queues is dead, and meets in a third one."""
        machine = self.machine(ClockMachine, 0)()
        w, x = b"w", b"x"
        rule = {"max_deliveries": 1, "dead_letter": "z"}
        machine.begin(rules={w: rule, x: rule}, noSync=False)
        machine.go([(1, Set(name, 6, number)) for number, name in enumerate((w, w, x))])
        # Of the first queue nothing is open for a while.
        kinds = [(w, b"open"), (w, b"close"), (x, b"open"), (w, b"open")]
        machine.go([*[(0, Read(*each)) for each in kinds], (0, None)])
        machine.teardown()

    def test_redriven(self) -> None:
        """Dead letters go back from where they are, as far as their queue has room."""
        machine = self.machine(ClockMachine, 0)()
        w, x = b"w", b"x"
        rule = {"max_deliveries": 1, "dead_letter": "x", "max_items": 2}
        machine.begin(rules={w: rule}, noSync=False)
        for number in range(4):
            steps = [Set(w, 6, number), Read(w, b"open"), Read(w, b"abort")]
            machine.go([(0, each) for each in steps])
        machine.go(
            [
                (1, Read(x, b"open")),
                (2, Read(w, b"", 6500)),
                (0, StatsPeek(x)),
                (0, Redrive(x, 1)),
                (0, Word(b"pause", w, WRITES)),
                (0, Redrive(x, 9)),
                (0, Move(x, w, 9)),
                (0, Word(b"resume", w)),
                (0, Set(w, 6, 5)),
                (0, Redrive(x, 9)),
                (0, Move(w, b"y", 1)),
                (0, Move(x, b"y", 9)),
            ]
        )
        # It goes to where it was first, which is no way back.
        machine.reload([], {x: {"max_deliveries": 1, "dead_letter": "w"}}, False)
        machine.go([(1, Read(x, b"abort")), (0, Redrive(w, 9)), (0, Move(w, x, 9))])
        machine.teardown()

    def test_notMoved(self) -> None:
        """A move or a redrive that waits when the server stops moves nothing."""
        machine = self.machine(ClockMachine, 0)()
        machine.begin(rules={}, noSync=False)
        machine.go([(0, Set(b"w", 6, 1))])
        for who, command in ((1, Move(b"w", b"x", 9)), (2, Redrive(b"w", 9))):
            machine.go([(who, Read(b"y", b"", 6500)), (who, command)])
        machine.restart(isKilled=False)
        machine.go([(0, Get((b"w",)))])
        machine.teardown()

    def test_flushed(self) -> None:
        """A touch of what was flushed meanwhile ends the open read."""
        machine = self.machine(ClockMachine, 0)()
        machine.begin(rules={}, noSync=False)
        put, read = Set(b"w", 6, 1), Read(b"w", b"open")
        machine.go([(0, put), (0, read), (1, Word(b"flush", b"w"))])
        machine.go([(0, Touch(b"w", 0, 4)), (1, put), (0, read)])
        machine.teardown()
