"""Messages that a worker has open."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.client.connection import ConnectionLost, ServerRefused
from memq.client.jobs import Job, Jobs
from memq.test.support.commandline import Script


class JobsTests(SynchronousTestCase):
    """Words that are sent, and what their answers mean."""

    def test_life(self) -> None:
        """A message is opened, touched, given back; another one is closed, or late."""
        script = Script(
            self,
            b"VA 4 c7 h0\r\nEN\r\n\r\n",
            b"TOUCHED\r\n",
            b"END\r\n",
            b"EN\r\n",
            b"VA 0 c8 h2\r\n\r\n",
            b"DELETED\r\n",
            b"NOT_FOUND\r\n",
        )
        with script.connection() as connection:
            jobs = Jobs(connection, b"q")
            job = jobs.next(100)
            assert job is not None
            self.assertEqual(job, Job(7, 0, b"EN\r\n"))
            jobs.touch(job)
            jobs.later(job, 30)
            self.assertEqual(jobs.next(0), None)
            other = jobs.next(0)
            assert other is not None
            self.assertEqual(other, Job(8, 2, b""))
            self.assertTrue(jobs.done(other))
            self.assertFalse(jobs.done(other))
        self.assertEqual(
            script.sent.decode().splitlines(),
            [
                "mg q/t=100/open v c h",
                "touch q/open=7 0",
                "get q/abort=7/delay=30",
                "mg q/t=0/open v c h",
                "mg q/t=0/open v c h",
                "delete q/open=8",
                "delete q/open=8",
            ],
        )

    def test_wrong(self) -> None:
        """An error and a strange word are raised, and so is an end."""
        for answer in (b"ERROR\r\n", b"SERVER_ERROR damaged\r\n", b"HD\r\n"):
            with Script(self, answer).connection() as connection:
                self.assertRaises(ServerRefused, Jobs(connection, b"q").next, 0)
        with Script(self, b"VA 4 c1 h0\r\nab").connection() as connection:
            self.assertRaises(ConnectionLost, Jobs(connection, b"q").next, 0)
