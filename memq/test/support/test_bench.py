"""Tests for bench: how it orders and sums up rounds, and what it asks of processors.

A bench takes its time, so none is run here.
"""

from __future__ import annotations

import os
import sys
from io import StringIO
from itertools import permutations
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

#: A result of the load generator: operations, seconds, rate and the rest.
RESULT = (100, 1.0, 100.0, 1.0, 2.0, 3.0, 4.0, 0, 0)


class RoundsTests(SynchronousTestCase):
    """Rounds, and what is said of them."""

    def test_order(self) -> None:
        """Servers come in every order equally often, each turned round next."""
        from bench.measure import ordered

        orders = [tuple(ordered("abc", turn)) for turn in range(6)]
        self.assertEqual(set(orders), set(permutations("abc")))
        self.assertEqual([order[::-1] for order in orders[::2]], orders[1::2])
        self.assertEqual([ordered("ab", turn)[0] for turn in range(4)], [*"abba"])
        self.assertEqual(ordered("", 1), [])

    def test_spread(self) -> None:
        """A figure is the median of its rounds, with quartiles and extremes."""
        from bench.measure import Spread

        self.assertEqual(Spread.of([7, 1, 6, 2, 5, 3, 4]), (4, 2.5, 5.5, 1, 7))
        self.assertEqual(Spread.of([3]), (3, 3, 3, 3, 3))

    def test_ratio(self) -> None:
        """A ratio compares results of the same round, and leaves out the others."""
        from bench.measure import Result, Results

        said = StringIO()
        self.patch(sys, "stderr", said)
        results = Results()
        for name, turn, rate in (("a", 1, 8.0), ("a", 2, 9.0), ("b", 1, 2.0)):
            result = Result(*RESULT)._replace(rate=rate)
            results.add("key", name, "set", turn, result)
        results.add("key", "b", "set", 2, Result(*RESULT)._replace(errors=1))
        found = results.ratio(("key", "a"), ("key", "b"), "set")
        self.assertEqual(found, (4, 4, 4, 4, 4))
        self.assertIn("key, b, set, round 2: 1 wrong", results.discarded[0])
        self.assertIn("key, b, set, round 2: 1 wrong", said.getvalue())

    def test_tables(self) -> None:
        """Rates and processor time stand with their quartiles, and with goals."""
        from bench import tables
        from bench.measure import Result, Results
        from bench.servers import memq

        results = Results()
        for turn in range(1, 8):
            result = Result(*RESULT)._replace(rate=turn * 1e4, cpu=10.0 + turn)
            result = result._replace(p50=10.0 * turn)
            results.add("fast-50x1", "memq", "set", turn, result)
        results.add("fast-50x1", "memq", "get", 1, Result(*RESULT))
        (row,) = tables.mainTable(results, memq()).splitlines()[2:]
        self.assertIn("| 40.0 (25.0 to 55.0) | 14.0 (12.5 to 15.5); goal 13.5 |", row)
        self.assertIn("| unknown", row)
        rows = tables.latencyTable(results, memq()).splitlines()[2:]
        self.assertEqual(len(rows), 2)
        self.assertIn("| set | 0.04 (0.025 to 0.055) | 0.002   | 0.003     |", rows[0])


class ProcessorsTests(SynchronousTestCase):
    """Where servers and loads run, and what they take."""

    def pin(self, placement: str, processors: set[int]) -> list[tuple[str, set[int]]]:
        """Return who was pinned to what, before, within and after."""
        from bench import processors as module

        done: list[tuple[str, set[int]]] = []
        names = {0: "load", 5: "server", 6: "server"}
        self.patch(os, "sched_getaffinity", lambda pid: set(processors))
        self.patch(
            os,
            "sched_setaffinity",
            lambda pid, where: done.append((names[pid], where)),
        )
        self.patch(os, "listdir", lambda path: ["5", "6"])
        with module.placed(5, module.Placement[placement]):
            done.append(("run", set()))
        return done

    def test_apart(self) -> None:
        """A lone client has the last processor, all threads of a server the rest."""
        ahead = [("server", {0, 1})] * 2 + [("load", {2})]
        after = [("load", {0, 1, 2})] + [("server", {0, 1, 2})] * 2
        expected = [*ahead, ("run", set()), *after]
        self.assertEqual(self.pin("APART", {0, 1, 2}), expected)

    def test_together(self) -> None:
        """Or both have the last processor."""
        ahead = [("server", {1})] * 2 + [("load", {1})]
        self.assertEqual(self.pin("TOGETHER", {0, 1})[:3], ahead)

    def test_free(self) -> None:
        """Others are left to the scheduler, and so is all on one processor."""
        self.assertEqual(self.pin("FREE", {0, 1}), [("run", set())])
        self.assertEqual(self.pin("APART", {0}), [("run", set())])

    def test_spent(self) -> None:
        """The time is that of all threads there are, also of new ones."""
        from bench.processors import spent, used

        self.assertEqual(spent({1: 100, 2: 50}, {1: 130, 3: 7}), 37)
        self.assertIn(os.getpid(), used(os.getpid()))


class MemcacheQTests(SynchronousTestCase):
    """Where MemcacheQ in C is found."""

    def program(self, words: str) -> str:
        """Return the path of a program called memcacheq that says these words."""
        path = os.path.join(os.path.abspath(self.mktemp()), "memcacheq")
        os.mkdir(os.path.dirname(path))
        with open(path, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\nprintf '{words}'\n")
        os.chmod(path, 0o755)
        return path

    def find(self, named: str, path: str) -> list[str]:
        """Return the programs that are measured, one for each setting."""
        from bench.servers import memcacheq

        environment = {**os.environ, "MEMCACHEQ_BIN": named, "PATH": path}
        self.patch(os, "environ", environment)
        return [kind.command(1, "home")[0] for kind in memcacheq()]

    def test_named(self) -> None:
        """MEMCACHEQ_BIN names it, durable and not synced, whatever it is called."""
        path = self.program("anything")
        self.assertEqual(self.find(path, "/nowhere"), [path, path])

    def test_notThere(self) -> None:
        """A name that leads nowhere ends the bench."""
        self.assertRaises(SystemExit, self.find, "/nowhere/memcacheq", "/nowhere")

    def test_found(self) -> None:
        """Without a name it is looked for in PATH, where memq's own does not count."""
        ours = self.program("memcacheq 0.2\\nmemq takes its place\\n")
        original = self.program("memcacheq 0.2.1\\n-p NUM\\n")
        path = f"/nowhere:{os.path.dirname(ours)}:{os.path.dirname(original)}"
        # The programs are scripts, which need a shell.
        self.assertEqual(self.find("", path), [original, original])
        self.assertEqual(self.find("", os.path.dirname(ours)), [])


class CostsTests(SynchronousTestCase):
    """What a command costs, by function, and where that is written."""

    def written(self, *parts: tuple[str, int]) -> str:
        """Return what callgrind writes of functions that ran one after the other."""
        return "".join(
            f"part: {number}\ndesc: Trigger: Client Request: {name}\n"
            f"events: Ir I1mr ILmr\nfn=1\n3 4\ntotals: {cost} 2 1\n\n"
            for number, (name, cost) in enumerate(parts)
        )

    def test_total(self) -> None:
        """A total has all parts, instructions and misses, for each command."""
        from bench import costs

        found = costs.parts(self.written(("bench", 30), ("/memq/a.py:f called", 10)))
        self.assertEqual(costs.total(found, 2), (20, 2, 1))
        self.assertEqual(
            costs.parts("part: 1\ndesc: Trigger: Program termination\n"), []
        )

    def test_divided(self) -> None:
        """A function has its parts, less what each call costs it and its caller."""
        from bench import costs

        first, second = "/home/memq/a/b.py:C.f", "/lib/c.py:g"
        found = costs.parts(
            self.written(
                ("bench", 7),
                (f"{first} called", 100),
                (f"{second} called", 300),
                (first, 50),
                (f"{second} called", 500),
                (first, 60),
            )
        )
        functions = costs.divide(found, 2, costs.Overhead(10, 5))
        self.assertEqual(
            list(functions.items()),
            [("c.py: g", (1, 390)), ("a/b.py: C.f", (0.5, 95)), ("bench", (0, 1))],
        )

    def test_overhead(self) -> None:
        """Calls of a function that does nothing tell what dividing costs."""
        from bench import costs

        one, caller = "/b/inprocess.py:nothing called", "/b/inprocess.py:_callNothing"
        parts = costs.parts(self.written(*[(one, 100), (caller, 400)] * 3))
        less = costs.overhead(parts, 60)
        self.assertEqual(less, (70, 370))
        left = costs.divide(parts, 3, less)
        self.assertEqual(sum(one.instructions for one in left.values()), 60)

    def test_rows(self) -> None:
        """The table has 25 functions, the others and the rest, and is the total."""
        from bench import costs

        functions = {f"f{n}": costs.Function(1, 100 - n) for n in range(30)}
        one = costs.Costs({"1 client": costs.Total(2600, 0, 0)}, functions)
        rows = costs.section({"set": one}).splitlines()
        shown = [row for row in rows if "| `f" in row]
        self.assertEqual(len(shown), 25)
        self.assertRegex(shown[0], r"^\| now +\| `f0` +\| 1.0 +\| 100 +\|$")
        for cells in (
            r"5 other functions +\| 5.0 +\| 365 ",
            r"rest +\| +\| 35 \(1.3 %\)",
            r"all +\| 30.0 +\| 2,600 ",
        ):
            self.assertRegex("\n".join(rows[-4:]), cells)

    def section(self, cost: float, version: str, old: str = "") -> str:
        """Return a section whose commands cost as much."""
        from bench import costs

        one = costs.Costs(
            {"1 client": costs.Total(cost, 0, 0)}, {"f": costs.Function(1, cost)}
        )
        return costs.section({"set": one, "get": one}, old, version)

    def test_before(self) -> None:
        """Rows of another version stay, and those of this one are made anew."""
        both = self.section(2222, "now", self.section(1111, "before"))
        self.assertEqual(both.count("1,111"), 6)
        anew = self.section(3333, "now", both)
        self.assertEqual(anew, both.replace("2,222", "3,333"))

    def test_kept(self) -> None:
        """`make bench` writes the page anew, and the section stays at its end."""
        from bench import costs, run

        path = Path(self.mktemp())
        run.write(path, "# first\n")
        self.assertEqual(path.read_text(), "# first\n")
        section = self.section(1, "now")
        path.write_text(costs.put(path.read_text(), section))
        run.write(path, "# second\n")
        self.assertEqual(path.read_text(), f"# second\n\n{section}")
        other = self.section(2, "now")
        self.assertEqual(costs.put(path.read_text(), other), f"# second\n\n{other}")

    def test_sections(self) -> None:
        """So do those of other benches, each at its place."""
        from bench import run, sections

        path = Path(self.mktemp())
        run.write(path, "# first\n")
        text = path.read_text()
        for name in ("bench.observed", "bench.secured", "bench.observed"):
            text = sections.put(text, name, f"\n## Of {name}, {len(text)}\n\n")
        path.write_text(text)
        run.write(path, "# second\n")
        text = path.read_text()
        headings = [line for line in text.splitlines() if line.startswith("#")]
        self.assertEqual(headings[0], "# second")
        self.assertEqual(
            [line.partition(",")[0] for line in headings[1:]],
            ["## Of bench.observed", "## Of bench.secured"],
        )
        self.assertEqual(text.count("begin: "), 2)

    def test_page(self) -> None:
        """docs/performance.md has the section, before and now."""
        from bench import costs
        from bench.workspace import ROOT

        page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
        section = costs.kept(page)
        self.assertIn("| before |", section)
        self.assertIn("| now ", section)
        self.assertNotIn(str(ROOT), section)
