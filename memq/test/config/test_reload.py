"""The rules are read again in a thread, one reading at a time, or stay as they are."""

from __future__ import annotations

import gc
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from memq.config import file, reload
from memq.config.file import Config, findConfig
from memq.config.online import Change, openOnline
from memq.config.reload import SWITCH, Changed, PolicyReloader
from memq.errors import ConfigError, RulesRefused
from memq.policy.rules import Rule, Rules
from memq.storage.datadir.home import Home
from memq.test.support.stepped import SteppedPool, SteppedReactor

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = "[queue.q]\nmax_items = {}\n"


class ReloadTestCase(SynchronousTestCase):
    """Has a file at the default place, and a pool that is stepped."""

    def setUp(self) -> None:
        """Write a first limit, and begin with it."""
        self.path = os.path.abspath(self.mktemp())
        self.patch(file, "DEFAULT", self.path)
        self.reactor = SteppedReactor()
        self.pool = SteppedPool()
        self.write(LIMIT.format(5))
        self.begin(findConfig(None))

    def begin(self, config: Config, isRead: bool = True) -> None:
        """Begin with what a file said."""
        #: The rules that were let hold, one behind the other.
        self.held: list[Rules] = []
        run = partial(deferToThreadPool, self.reactor, self.pool)
        self.reloader = PolicyReloader(config, run, self.held.append, isRead)

    def write(self, text: str) -> None:
        """Change the file."""
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)

    def step(self) -> None:
        """Let the thread read once, and the reactor hear of it."""
        self.pool.step()
        self.reactor.advance(0)

    def reload(self) -> list[str | None]:
        """Read the file again; return what is logged."""
        with capturedLogs() as events:
            done = self.reloader.reload()
            self.step()
        self.successResultOf(done)
        return [formatEvent(event) for event in events]

    def refuse(self) -> None:
        """Read the file again, which is refused."""
        done = self.reloader.reload()
        self.step()
        self.assertIn(self.path, str(self.failureResultOf(done, ConfigError).value))

    @property
    def limits(self) -> list[int]:
        """Return the limits that were let hold."""
        found = [rules.of(b"q") for rules in self.held]
        return [rule.maxItems for rule in found if rule is not None]


class FileTests(ReloadTestCase):
    """A file that changes."""

    def test_replaced(self) -> None:
        """Rules are replaced as a whole; those of before do not change."""
        said = f"{self.path} is read again: 1 [queue] tables"
        for limit in (1, 2):
            self.write(LIMIT.format(limit))
            self.assertEqual(self.reload(), [said])
        self.assertEqual(self.held[0].of(b"q"), Rule(maxItems=1))
        self.assertEqual(self.held[1].of(b"q"), Rule(maxItems=2))

    def test_mistake(self) -> None:
        """A file with a mistake changes nothing, wherever it is."""
        for text in ("[", LIMIT.format(-1), LIMIT.format(2) + "[server]\nport = -1\n"):
            self.write(text)
            self.refuse()
        os.remove(self.path)
        self.refuse()
        self.assertEqual(self.held, [])

    def test_appeared(self) -> None:
        """A file that is at the default place by now is read, and has to stay."""
        self.begin(Config())
        os.remove(self.path)
        self.assertEqual(self.reload(), [])
        self.assertEqual(self.held, [])
        self.write(LIMIT.format(1))
        self.reload()
        self.assertEqual(self.limits, [1])
        os.remove(self.path)
        self.refuse()

    def test_notRead(self) -> None:
        """With --no-config none is read."""
        self.begin(Config(), isRead=False)
        self.assertEqual((self.reload(), self.held), ([], []))

    def test_server(self) -> None:
        """The options changed in [server] since the start are named each time."""
        self.write("[server]\nport = 1\nhome = '/h'\nno-sync = true\n")
        self.begin(findConfig(None))
        self.write("[server]\nport = 2\nhome = '/h'\nverbose = 1\n")
        expected = (
            f"{self.path}: changed in [server], [web] or [[listen]], and takes effect "
            "when memq is started again: no-sync, port, verbose"
        )
        for _ in range(2):
            self.assertEqual(self.reload()[1:], [expected])

    def test_listeners(self) -> None:
        """Listeners that have changed are told of, and not those that were moved."""
        table = '[[listen]]\naddress = "tcp:{}"\n'
        self.write(table.format(1))
        self.begin(findConfig(None))
        self.write("\n" + table.format(1))
        self.assertEqual(self.reload()[1:], [])
        self.write(table.format(2))
        [line] = self.reload()[1:]
        self.assertIn("started again: [[listen]]", str(line))


class Companion:
    """What is read with the rules.

    :ivar why: why it cannot be taken.
    """

    def __init__(self) -> None:
        self.read: list[Config] = []
        self.held: list[Config] = []
        self.why: ConfigError | None = None

    def prepare(self, config: Config) -> Callable[[], None]:
        """Note it."""
        self.read.append(config)
        if self.why is not None:
            raise self.why
        return lambda: self.held.append(config)


class CompanionTests(ReloadTestCase):
    """What is read with the rules."""

    def begin(self, config: Config, isRead: bool = True) -> None:
        """Begin with two."""
        super().begin(config, isRead)
        self.companions = [Companion(), Companion()]
        run = partial(deferToThreadPool, self.reactor, self.pool)
        self.reloader = PolicyReloader(
            *(config, run, self.held.append, isRead), companions=self.companions
        )

    def test_together(self) -> None:
        """All hold with the rules, and in no thread."""
        self.write(LIMIT.format(1))
        done = self.reloader.reload()
        self.pool.step()
        self.assertEqual([len(each.read) for each in self.companions], [1, 1])
        self.assertEqual([each.held for each in self.companions], [[], []])
        self.reactor.advance(0)
        self.successResultOf(done)
        self.assertEqual(self.limits, [1])
        for each in self.companions:
            self.assertEqual(each.held, each.read)

    def test_refused(self) -> None:
        """None holds when one cannot be taken, and no rules."""
        self.companions[1].why = ConfigError(self.path, None, "no")
        self.write(LIMIT.format(1))
        self.refuse()
        self.assertFalse(self.reloader.isCurrent)
        self.assertEqual([each.held for each in self.companions], [[], []])
        self.assertEqual(self.limits, [])
        # A mistake in the rules is found first.
        self.write("[")
        self.refuse()
        self.assertEqual(len(self.companions[0].read), 1)

    def test_checked(self) -> None:
        """Rules that were read hold once somebody has seen that they can be kept."""
        asked: list[Deferred[None]] = []

        def check(rules: Rules) -> Deferred[None]:
            asked.append(Deferred())
            return asked[-1]

        run = partial(deferToThreadPool, self.reactor, self.pool)
        self.reloader = PolicyReloader(
            *(Config(self.path), run, self.held.append),
            companions=self.companions,
            check=check,
        )
        self.write(LIMIT.format(1))
        for answer in (None, ConfigError(self.path, 2, "no")):
            done = self.reloader.reload()
            self.pool.step()
            self.reactor.advance(0)
            self.assertNoResult(done)
            if answer is None:
                asked[-1].callback(None)
                self.assertIsNone(self.successResultOf(done))
            else:
                asked[-1].errback(answer)
                self.failureResultOf(done, ConfigError)
            self.assertEqual(self.reloader.isCurrent, answer is None)
        self.assertEqual(self.limits, [1])
        self.assertEqual(len(self.companions[0].held), 1)

    def test_noConfig(self) -> None:
        """They are read again without a configuration file, too."""
        self.begin(Config(), isRead=False)
        self.reload()
        self.assertEqual(self.companions[0].held, [Config()])


class ChangeTests(ReloadTestCase):
    """Online rules that are changed."""

    def setUp(self) -> None:
        """Have a home for them."""
        super().setUp()
        self.home = Home(os.path.abspath(self.mktemp()))
        self.home.prepare()
        self.addCleanup(self.home.release)
        self.begin(findConfig(None))

    def begin(self, config: Config, isRead: bool = True) -> None:
        """Begin with what is in the home as well, if there is one."""
        super().begin(config, isRead)
        home = getattr(self, "home", None)
        online = openOnline(home, config.queues, False)
        run = partial(deferToThreadPool, self.reactor, self.pool)
        self.reloader = PolicyReloader(
            config, run, self.held.append, isRead, online=online
        )

    def change(self, name: bytes, removed: Any = (), **values: Any) -> Changed:
        """Change them; return what that has done."""
        done = self.reloader.change(Change(name, values, removed))
        self.assertNoResult(done)
        self.step()
        found: Changed = self.successResultOf(done)
        return found

    def whyNot(self, name: bytes, removed: Any = (), **values: Any) -> str:
        """Return why they cannot be changed so; nothing changes."""
        before = self.held[:], self.reloader.book, self.reloader.rules
        done = self.reloader.change(Change(name, values, removed))
        self.step()
        error = self.failureResultOf(done, RulesRefused).value
        self.assertEqual((self.held, self.reloader.book, self.reloader.rules), before)
        return str(error)

    def test_changed(self) -> None:
        """A change holds, is told with what was before, and is there after a start."""
        found = self.change(b"q", max_items=1)
        self.assertEqual(found, (None, {"max_items": 1}))
        found = self.change(b"q", max_items=2, max_age=1)
        self.assertEqual(found, ({"max_items": 1}, {"max_items": 2, "max_age": 1}))
        self.assertEqual(self.limits, [1, 2])
        self.begin(findConfig(None))
        self.assertEqual(self.reloader.rules.of(b"q"), Rule(maxItems=2, maxAgeMs=1))
        found = self.change(b"q", removed=None)
        self.assertEqual(found[1], None)
        # The limit of the other file holds again.
        self.assertEqual(self.limits, [5])

    def test_fixed(self) -> None:
        """Where there can be no online rules, changes are refused, with why."""
        run = partial(deferToThreadPool, self.reactor, self.pool)
        self.reloader = PolicyReloader(
            findConfig(None), run, self.held.append, fixed="not here"
        )
        self.assertEqual(self.whyNot(b"q", max_items=1), "not here")
        self.assertEqual(self.whyNot(b"q", removed=None), "not here")

    def test_nothing(self) -> None:
        """What changes nothing is not written down, and wakes nobody."""
        self.change(b"q", max_items=1)
        seen = self.reloader.book.seen
        self.change(b"q", max_items=1)
        self.change(b"r", removed=None)
        self.assertEqual((len(self.held), self.reloader.book.seen), (1, seen))

    def test_refused(self) -> None:
        """What does not go together changes nothing, and is told in the same words."""
        why = self.whyNot(b"q", dead_letter=b"q")
        self.assertEqual(
            why, 'dead_letter = "q": a queue would hand on to itself: q -> q'
        )
        self.write('[queue.q]\noverflow = "reject"\n[queue."*"]\nmax_items = 0\n')
        self.refuse()
        self.write('[queue.d]\ndead_letter = "q"\n')
        self.reload()
        why = self.whyNot(b"*", dead_letter=b"d")
        self.assertIn("a queue would hand on to itself", why)
        self.change(b"b", fanout=(b"c",))
        self.change(b"a", fanout=(b"b",))
        why = self.whyNot(b"c", fanout=(b"a",))
        # The last one that has a part in it is another one.
        path = self.reloader.book.tables[0].path
        self.change(b"aa", max_age=1)
        self.assertTrue(why.startswith(('fanout = ["a"]', f"{path}:")), why)

    def test_other(self) -> None:
        """Where another table is what is wrong then, its place is told."""
        self.change(b"q", max_age=1)
        self.write('[queue.r]\noverflow = "reject"\nmax_items = 1\n')
        self.reload()
        self.change(b"s", max_items=1)
        self.change(b"s*", overflow=True)
        why = self.whyNot(b"s", removed=None)
        path = self.reloader.book.tables[0].path
        self.assertIn(f'{path}:5: overflow = "drop-oldest": there is no', why)

    def test_locked(self) -> None:
        """A key that the file locks cannot be changed where its table may match."""
        self.write('[queue."a*"]\nlocked = true\nmax_items = 3\n')
        self.reload()
        for name in (b"a", b"*b", b"?", b"[a-c]x*"):
            why = self.whyNot(name, max_items=1)
            self.assertEqual(why, f'max_items of "a*" is locked at {self.path}:3')
        self.change(b"b", max_items=1)
        self.change(b"a", max_age=1)
        self.assertEqual(self.held[-1].of(b"a"), Rule(maxItems=3, maxAgeMs=1))

    def test_lockedLater(self) -> None:
        """A lock that comes later counts more than what was online, and is logged."""
        self.change(b"q", max_items=1)
        self.write("[queue.q]\nlocked = true\nmax_items = 3\n")
        (_, line) = self.reload()
        self.assertIn(f"max_items has no effect where {self.path}:3 has it", str(line))
        self.assertEqual(self.limits, [1, 3])
        # It may go: that changes nothing that is locked.
        self.change(b"q", removed=["max_items"])
        self.assertEqual(self.limits, [1, 3, 3])

    def test_reload(self) -> None:
        """A reload reads both files, and takes them only together."""
        self.change(b"r", max_items=1)
        self.write(LIMIT.format(6))
        self.reload()
        self.assertEqual(self.held[-1].of(b"r"), Rule(maxItems=1))
        self.assertEqual(self.held[-1].of(b"q"), Rule(maxItems=6))
        self.change(b"r", dead_letter=b"q")
        self.write('[queue.q]\ndead_letter = "r"\n')
        done = self.reloader.reload()
        self.step()
        why = str(self.failureResultOf(done, ConfigError).value)
        self.assertIn("rules.toml line", why)
        self.assertEqual(self.held[-1].of(b"q"), Rule(maxItems=6))
        self.assertFalse(self.reloader.isCurrent)
        self.write("")
        self.reload()
        self.assertEqual(self.held[-1].of(b"r"), Rule(maxItems=1, deadLetter=b"q"))

    def test_byHand(self) -> None:
        """What a person writes into the file is read, without the other one as well."""
        os.remove(self.path)
        self.begin(Config(), isRead=False)
        self.change(b"q", max_items=1)
        with open(self.reloader.book.tables[0].path, "w", encoding="utf-8") as file:
            file.write(LIMIT.format(2))
        self.assertEqual(self.reload(), [])
        with open(self.reloader.book.tables[0].path, "w", encoding="utf-8"):
            pass
        self.reload()
        self.assertEqual([each.of(b"q") and 1 for each in self.held], [1, 1, None])

    def test_plan(self) -> None:
        """The rules that a change would make can be had without it."""
        done = self.reloader.plan(Change(b"q", {"max_items": 1}))
        self.step()
        rules = self.successResultOf(done)
        self.assertEqual(rules.of(b"q"), Rule(maxItems=1))
        self.assertEqual(self.held, [])
        self.assertEqual(self.reloader.rules.of(b"q"), Rule(maxItems=5))
        done = self.reloader.plan(Change(b"q", {"dead_letter": b"q"}))
        self.step()
        self.failureResultOf(done, RulesRefused)

    def test_order(self) -> None:
        """Changes and readings are done one by one, in their order."""
        done: list[Deferred[Any]] = [
            self.reloader.change(Change(b"q", {"max_items": 1})),
            self.reloader.reload(),
            self.reloader.change(Change(b"q", {"max_items": 2})),
            self.reloader.reload(),
        ]
        # The two readings are one: neither has begun.
        for _ in range(3):
            self.assertEqual(self.pool.pending, 1)
            self.step()
        for each in done:
            self.successResultOf(each)
        self.assertEqual((self.limits, self.pool.pending), ([1, 1, 2], 0))


class OrderTests(ReloadTestCase):
    """Readings, step by step."""

    def test_told(self) -> None:
        """A caller is told when the rules hold, and nothing holds before."""
        self.write(LIMIT.format(1))
        done = self.reloader.reload()
        self.pool.step()
        self.assertNoResult(done)
        self.assertEqual(self.held, [])
        self.reactor.advance(0)
        self.successResultOf(done)
        self.assertEqual(self.limits, [1])

    def test_atOnce(self) -> None:
        """Those that ask while a file is read share the reading that comes behind."""
        first = self.reloader.reload()
        self.pool.step()
        self.write(LIMIT.format(2))
        others = [self.reloader.reload() for _ in range(3)]
        self.assertEqual(self.pool.pending, 0)
        self.reactor.advance(0)
        self.successResultOf(first)
        for each in others:
            self.assertNoResult(each)
        self.step()
        for each in others:
            self.successResultOf(each)
        self.assertEqual((self.limits, self.pool.pending), ([5, 2], 0))

    def test_mistake(self) -> None:
        """A mistake is told to those that asked before; the next one may do better."""
        self.write("[")
        both = [self.reloader.reload() for _ in range(2)]
        self.step()
        self.failureResultOf(both[0], ConfigError)
        self.write(LIMIT.format(3))
        self.step()
        self.successResultOf(both[1])
        self.assertEqual(self.limits, [3])

    def test_again(self) -> None:
        """A caller that asks anew when told is told of a reading of its own."""
        told: list[Deferred[None]] = []
        done = self.reloader.reload()
        done.addCallback(lambda _: told.append(self.reloader.reload()))
        self.step()
        self.assertNoResult(told[0])
        self.step()
        self.successResultOf(told[0])

    def test_yields(self) -> None:
        """Python is handed on sooner while a file is read, and as before behind it."""
        before = sys.getswitchinterval()
        seen: list[Any] = []

        def read(path: str) -> Config:
            seen[:] = sys.getswitchinterval(), gc.isenabled()
            return Config(path)

        self.patch(reload, "findConfig", read)
        for enabled in (True, False):
            (gc.enable if enabled else gc.disable)()
            self.addCleanup(gc.enable)
            self.reload()
            self.assertAlmostEqual(seen[0], SWITCH)
            self.assertEqual((seen[1], gc.isenabled()), (False, enabled))
        self.assertEqual(sys.getswitchinterval(), before)
