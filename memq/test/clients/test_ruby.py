"""The clients of Ruby, through the cases."""

from twisted.trial.unittest import SynchronousTestCase

from memq.test.clients import cases, fetched
from testkit.servers import outputOf

cases.define(globals(), fetched.Dalli, fetched.BinaryDalli, fetched.MetaDalli)


class VersionTests(SynchronousTestCase):
    """The Dalli that is driven."""

    def test_newer(self) -> None:
        """That of Debian 13 is found where it is, and has the version of the page."""
        client = fetched.BinaryDalli()
        command = (*client.command(), "1", client.protocol, client.library)
        self.assertEqual(outputOf(*command, **client.variables, PATIENCE="1"), "")
