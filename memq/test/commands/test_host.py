"""The server is what connections and commands say they need."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.commands.host import CommandCounters, CommandHost, MaintenanceActions
from memq.test.support.harness import Harness


def needed(protocol: type) -> set[str]:
    """Return the names that a protocol declares, with those it inherits."""
    found: set[str] = set()
    for each in protocol.__mro__:
        if each.__module__.startswith("memq."):
            found |= {*vars(each), *vars(each).get("__annotations__", {})}
    return {name for name in found if not name.startswith("_")}


class HostTests(SynchronousTestCase):
    """Interfaces that are declared below, and provided above."""

    def test_provided(self) -> None:
        """Factory, statistics and maintenance have all that is declared of them."""
        factory = Harness().factory
        for protocol, provider in (
            (CommandHost, factory),
            (CommandCounters, factory.statistics),
            (MaintenanceActions, factory.maintenance),
        ):
            names = needed(protocol)
            self.assertGreater(len(names), 1)
            self.assertEqual([n for n in names if not hasattr(provider, n)], [])
