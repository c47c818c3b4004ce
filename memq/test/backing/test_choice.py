"""Which backing options ask for."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from memq.backing import choice
from memq.backing.choice import chooseBacking
from memq.backing.cluster import ClusterBacking
from memq.config.commandline import Options
from memq.config.file import Config
from memq.errors import NEEDS_A_PERSON, StartError
from memq.policy.rules import Table
from memq.rabbitmq.errors import RuleRefused
from memq.test.backing.test_cluster import ground


def parsed(*words: str) -> Any:
    """Return what a command line asks for."""
    options = Options()
    options.parseOptions(["--no-config", *words])
    return options


class ChoiceTests(SynchronousTestCase):
    """Options, and what they make."""

    cluster = "--store", "rabbitmq", "--rabbitmq", "amqp://u:p@127.0.0.1/v"
    owner = -1, -1

    def setUp(self) -> None:
        """Change no user."""
        self.patch(
            choice, "runAsEffectiveUser", lambda uid, gid, call, *rest: call(*rest)
        )

    def test_local(self) -> None:
        """Without a cluster it is a store of this process."""
        options = parsed("--store", "memory")
        backing = chooseBacking(options, self.owner)(ground(options))
        self.assertEqual(backing.berkeleydb, "none")
        self.assertEqual(backing.there(), "0 queues with 0 messages")
        self.assertIs(backing.engine, backing.watched)
        self.assertEqual(list(backing.companions), [])

    def test_cluster(self) -> None:
        """With one it is that."""
        options = parsed(*self.cluster)
        backing = chooseBacking(options, self.owner)(ground(options))
        self.assertIsInstance(backing, ClusterBacking)

    def test_rules(self) -> None:
        """Rules that no cluster keeps are refused at once."""
        options = parsed(*self.cluster)
        table = Table(b"q", {"remove_when_idle": 5.0}, "f", (7,))
        options.config = Config(queues=(table,))
        error = self.assertRaises(RuleRefused, chooseBacking, options, self.owner)
        self.assertTrue(str(error).startswith("f line 7: remove_when_idle = 5"), error)

    def test_withoutPika(self) -> None:
        """Pika is needed for a cluster alone, and that it is missing is one line."""
        name = "pika"

        def load(module: str) -> Any:
            raise ModuleNotFoundError(f"No module named {name}", name=name)

        self.patch(choice, "import_module", load)
        options = parsed(*self.cluster)
        error = self.assertRaises(StartError, chooseBacking, options, self.owner)
        self.assertEqual(
            str(error),
            "--store rabbitmq: needs pika: apt install python3-pika, or pip install "
            "memq[cluster]",
        )
        # It is not started again every five seconds.
        self.assertEqual(error.status, NEEDS_A_PERSON)
        name = "memq.nothing"
        self.assertRaises(ModuleNotFoundError, chooseBacking, options, self.owner)
        chooseBacking(parsed("--store", "memory"), self.owner)
