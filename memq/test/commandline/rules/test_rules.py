"""The command that shows and changes rules."""

from __future__ import annotations

import json
import os

from twisted.trial.unittest import SynchronousTestCase

from memq.test.support.commandline import Ended, Terminal, command
from memq.test.support.servers import started


class RulesTests(SynchronousTestCase):
    """A server with rules of both kinds."""

    def setUp(self) -> None:
        """Start it."""
        self.config = os.path.abspath(self.mktemp())
        with open(self.config, "w", encoding="utf-8") as file:
            file.write("[queue.q]\nmax_items = 5\nlocked = true\nmax_age = 9\n")
        self.server = started(self, "--config", self.config)
        self.path = os.path.join(self.server.home, "memq", "rules.toml")

    def command(self, *words: str) -> Ended:
        """Run it."""
        return command(self.server, "rules", *words)

    def done(self, *words: str) -> bytes:
        """Return what it writes, and nothing else."""
        ended = self.command(*words)
        self.assertEqual((ended.status, ended.err), (0, ""))
        return ended.out

    def wrong(self, *words: str) -> str:
        """Return what it tells, without having asked the server."""
        status, out, err = self.command(*words)
        self.assertEqual((status, out, err.count("\n")), (2, b"", 1))
        return err

    def test_life(self) -> None:
        """Rules are set, shown and removed."""
        self.assertEqual(self.done(), b"")
        self.done("set", "a*", "max_items=7", "dead_letter=", "fanout=")
        self.done("set", "a*", 'fanout=["x,y"]')
        told = b'a*\tmax_items=7\tdead_letter=""\tfanout=["x,y"]\n'
        self.assertEqual(self.done("list"), told)
        self.assertEqual(
            self.done("show", "aa"),
            f"max_items\t7\t{self.path}:5\n"
            f'dead_letter\t""\t{self.path}:6\nfanout\t["x,y"]\t{self.path}:7\n'.encode(),
        )
        self.done("unset", "a*", "fanout")
        self.done("unset", "a*", "dead_letter")
        self.assertEqual(self.done(), b"a*\tmax_items=7\n")
        self.done("unset", "a*")
        none = (3, b"", "memq rules: there is no online rule a*\n")
        self.assertEqual(self.command("unset", "a*"), none)
        none = (3, b"", "memq rules: there is no online rule max_age of a*\n")
        self.assertEqual(self.command("unset", "a*", "max_age"), none)
        why = "memq rules: no rule has a key for none: all is as by default\n"
        self.assertEqual(self.command("show", "none"), (0, b"", why))

    def test_json(self) -> None:
        """Programs have them as JSON."""
        self.done("set", "a*", "max_items=7", "fanout=x,y", "paused=both")
        values = {"max_items": 7, "fanout": ["x", "y"], "paused": "both"}
        told = json.loads(self.done("--json"))
        self.assertEqual(told, {"pattern": "a*", "values": values})
        first = self.done("show", "q", "--json").splitlines()[0]
        told = {"key": "max_items", "value": 5, "from": f"{self.config}:2"}
        self.assertEqual(json.loads(first), told)

    def test_dryRun(self) -> None:
        """It shows what would change of which queue, and changes nothing."""
        for name in (b"a", b"q", b"z"):
            self.server.put(name, b"")
        done = self.command("set", "[az]", "max_items=7", "--dry-run")
        why = "memq rules: 2 queues would change; nothing is set\n"
        self.assertEqual(done, (0, b"a\tmax_items\t0\t7\nz\tmax_items\t0\t7\n", why))
        done = self.command("set", "z", "dead_letter=x", "--dry-run", "--json")
        told = {"queue": "z", "key": "dead_letter", "old": "", "new": "x"}
        why = "memq rules: 1 queue would change; nothing is set\n"
        self.assertEqual((done.status, done.err), (0, why))
        self.assertEqual(json.loads(done.out), told)
        self.assertEqual(self.done(), b"")

    def test_refused(self) -> None:
        """What the server refuses is told in its words."""
        done = self.command("set", "q", "max_age=7")
        why = f"max_age of q is locked at {self.config}:4"
        self.assertEqual(done, (3, b"", f"memq rules: {why}\n"))
        done = self.command("set", "r", "max_itms=7", "--dry-run")
        self.assertEqual(done.status, 3)
        self.assertIn("max_itms = 7: is no key; the nearest is max_items", done.err)

    def test_wrong(self) -> None:
        """Words that make no sense are told from those that do."""
        for words, why in (
            (("set", "q"), "rules set takes PATTERN KEY=VALUE ..."),
            (("set", "q", "max_items"), "'max_items' is not KEY=VALUE"),
            (("set", "q", "=1"), "'=1' is not KEY=VALUE"),
            (("set", "q", "max_items=1 2"), "without blanks"),
            (("set", "q", "max_items=1\r\nflush_all"), "is not KEY=VALUE"),
            (("set", "a b", "max_items=1"), "'a b' is no name of a queue"),
            (("list", "q"), "rules list takes no more words"),
            (("show",), "rules show takes QUEUE"),
            (("unset", "q", "a", "b"), "rules unset takes PATTERN [KEY]"),
            (("unset", "q", "--dry-run"), "--dry-run goes with set"),
            (("drop",), "invalid choice: 'drop'"),
        ):
            self.assertIn(why, self.wrong(*words))

    def test_terminal(self) -> None:
        """On a terminal the columns stand below each other."""
        self.done("set", "a*", "max_items=7")
        self.done("set", "longer", "max_age=1", "paused=both")
        shown = Terminal(self.server, "rules").end()[1]
        self.assertEqual(
            shown.splitlines(),
            ["a*      max_items=7", "longer  max_age=1    paused=both"],
        )
        self.done("unset", "a*")
        self.done("unset", "longer")
        self.assertIn("no rule was set online", Terminal(self.server, "rules").end()[1])
