"""Without a binding of Berkeley DB, every program says so in one line."""

from __future__ import annotations

import sys

from twisted.trial.unittest import SynchronousTestCase

from testkit.servers import runToEnd

_HIDE = "import sys; sys.modules['berkeleydb'] = sys.modules['bsddb3'] = None; "

#: How each program begins.
_PROGRAMS = {
    "twistd": "sys.argv[1:] = ['-n', 'memq']; "
    "from twisted.scripts.twistd import run; run()",
    "memq": "from memq.cli import run; run()",
    "memcacheq": "sys.argv[1:] = ['-u', 'nobody', '-H', '/nowhere']; "
    "from memq.memcacheq.cli import main; main()",
    "memq-adopt": "from memq.cli import runAdopt; runAdopt()",
}


class MissingTests(SynchronousTestCase):
    """A machine that has neither berkeleydb nor bsddb3."""

    def test_missing(self) -> None:
        """Each program says in one line what is missing, and where to get it."""
        for name, program in _PROGRAMS.items():
            done = runToEnd(sys.executable, "-c", _HIDE + program)
            last = done.stderr.splitlines()[-1:]
            self.assertEqual(done.returncode, 1, name)
            self.assertIn("memq: no binding of Berkeley DB", "".join(last), name)
            self.assertIn("libdb5.3-dev", done.stderr, name)
            self.assertNotIn("Traceback", done.stderr, name)
