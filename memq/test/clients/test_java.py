"""The clients of Java, through the cases."""

from twisted.trial.unittest import SynchronousTestCase

from memq.test.clients import cases, fetched

cases.define(
    globals(),
    fetched.Spymemcached,
    fetched.BinarySpymemcached,
)


class JoinedTests(SynchronousTestCase):
    """The lines that xmemcached makes of the gets of many threads, to the byte."""

    def test_threads(self) -> None:
        """150 gets in one line, as many as it joins, have answers and one end."""
        names = [b"joined-%d" % number for number in range(150)]
        some = names[::3]
        for name in some:
            cases.server().put(name, name)
        told = cases.server().ask(b"get " + b"/open ".join([*names, b""]).strip())
        values = [b"VALUE %b/open 0 %d\r\n%b\r\n" % (n, len(n), n) for n in some]
        self.assertEqual(told, b"".join([*values, b"END\r\n"]))
        for name in some:
            self.assertEqual(cases.server().take(name), [name])

    def test_wait(self) -> None:
        """A line in which each waits takes as long as one of them."""
        cases.server().put(b"joined-wait", b"1")
        told = cases.server().ask(b"get none/t=50 joined-wait/t=50 nor/t=50/open")
        self.assertEqual(told, b"VALUE joined-wait/t=50 0 1\r\n1\r\nEND\r\n")
