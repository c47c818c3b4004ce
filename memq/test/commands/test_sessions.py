"""Every line of docs/protocol.md, as a session."""

from __future__ import annotations

from typing import Any, ClassVar

from memq.test.support.sessions import SessionTestCase, sessions


@sessions(
    {
        "A line ends at LF.": r"""
            | version\n -> VERSION #
        """,
        "One CR before the LF is dropped.": r"""
            | version\r\n -> VERSION #
        """,
        "Two are not.": r"""
            | version\r\r\n -> ERROR
        """,
        "A CR elsewhere does not end a line.": r"""
            | version\rversion\n -> ERROR
        """,
        "Spaces come in runs and at either end.": r"""
            | \x20 set   q  7 0    5  \r\nhello\r\n -> STORED
            | get  q \x20\r\n -> VALUE q 7 5 | hello | END
        """,
        "A TAB is part of a word.": r"""
            | get\tq\r\n -> ERROR
            | version\t\r\n -> ERROR
        """,
        "Commands may be in capitals.": r"""
            > VERSION -> VERSION #
            | SET q 0 0 2\r\nhi\r\nSet Q 0 0 2 noreply\r\nho\r\n -> STORED
            > Get q Q
            < VALUE q 0 2
            < hi
            < VALUE Q 0 2
            < ho
            < END
        """,
        "What is not a command is an ERROR and the connection stays open.": """
            > hello -> ERROR
            > version -> VERSION #
        """,
        "So is the wrong number of words.": """
            > get -> ERROR
            > gets -> ERROR
            > delete -> ERROR
            > delete q 0 0 -> ERROR
            > flush_all 0 0 -> ERROR
            > version 1 -> ERROR
            > verbosity -> ERROR
            > verbosity 1 2 -> ERROR
            > quit now -> ERROR
            > db_checkpoint now -> ERROR
            > db_archive now -> ERROR
        """,
        "So is an empty line.": r"""
            | \r\n -> ERROR
            | \n -> ERROR
            | \x20 \r\n -> ERROR
        """,
        "Replies come in the order of commands.": r"""
            | set a 0 0 1\r\n1\r\nget b\r\nget a\r\nversion\r\nfoo\r\ndelete a\r\n
            < STORED
            < END
            < VALUE a 0 1
            < 1
            < END
            < VERSION #
            < ERROR
            < DELETED
        """,
        "A request of HTTP closes without a word.": """
            > GET / HTTP/1.1
            closed
        """,
        "So does any other, whatever its blanks and capitals.": r"""
            | delete   *  HTTP/1.1\r\nset q 0 0 1\r\nx\r\n
            closed
        """,
        "So does POST.": r"""
            | POST /queue HTTP/1.1\r\nHost: x\r\n\r\nset q 0 0 1\r\nx\r\n
            closed
        """,
        "So does a header.": """
            > Host: example.com
            closed
        """,
        "So does one in lower case, without a blank.": r"""
            | content-type:text/plain\r\ndelete q\r\n
            closed
        """,
        "So does HTTP 2.": r"""
            | PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04
            closed
        """,
        "So does memcached's binary protocol.": r"""
            | \x80\x0b\x00\x00\n\x00\x00\x00flush_all\r\n
            closed
        """,
        "So does TLS, whose first packet has no line end.": r"""
            | \x16\x03\x01\x00\xc8
            closed
        """,
        "So does AMQP.": r"""
            | AMQP\x00\x00\x09\x01
            closed
        """,
        "So does Redis's protocol.": r"""
            | *2\r\n$3\r\nGET\r\n$8\r\ndelete q\r\n
            closed
        """,
        "Silence is kept about what is refused, by all that know noreply.": r"""
            > touch q 0 noreply
            > incr q 1 noreply
            > DECR q 1 noreply
            > gat 0 q noreply
            > cache_memlimit 64 noreply
            | append q 0 0 7 noreply\r\nversion\r\n
            | CAS q 0 0 7 1 noreply\r\nversion\r\n
            | add q 0 0 1 noreply\r\n5\r\n
            | add q 0 0 1 noreply\r\n5\r\n
            | add r 0 0 1 noreply\r\nx\r\n
            > stats queue -> STAT q 0/0 | END
        """,
        "By those that do not, it is not.": """
            > get q noreply -> END
            > stats noreply -> ERROR
            > version noreply -> ERROR
            > mg q noreply -> CLIENT_ERROR invalid flag
            > gat 0 noreply -> ERROR
        """,
        "So is that of beanstalkd's put.": r"""
            | put 0 0 60 7\r\nversion\r\n -> ERROR
        """,
        "Where its length is not known, the connection is closed.": r"""
            | ms my queue 7\r\nversion\r\n -> CLIENT_ERROR bad command line format
            closed
        """,
        "So behind a line of nobody's with a number in it.": r"""
            | PUB subject 7\r\nversion\r\n -> ERROR
            closed
        """,
        "So where a body that is thrown away is longer than announced.": r"""
            | replace q 0 0 2\r\nhi, delete q\r\n -> ERROR
            closed
        """,
    }
)
class LineSessions(SessionTestCase):
    """Lines."""


@sessions(
    {
        "A name has 1 to 250 bytes.": """
            > set N250 0 0 2 | hi -> STORED
            > get N250 -> VALUE N250 0 2 | hi | END
            > set x 0 0 1 | y -> STORED
        """,
        "251 are too many.": """
            > get N251 -> CLIENT_ERROR bad command line format
            > delete N251 -> CLIENT_ERROR bad command line format
            > set N251 0 0 7 | version -> CLIENT_ERROR bad command line format
        """,
        "It may have any byte above 0x20.": r"""
            | set !\x80\xff"~ 0 0 1\r\nx\r\n -> STORED
            | set ../x 0 0 1\r\nx\r\n -> CLIENT_ERROR unknown option
            > set .. 0 0 1 | x -> STORED
        """,
        "UTF-8 is fine.": """
            > set grüße 0 0 1 | x -> STORED
            > stats queue -> STAT grüße 1/0 | END
            > get grüße -> VALUE grüße 0 1 | x | END
        """,
        "Control bytes are not.": r"""
            | get a\x7fb\r\n -> CLIENT_ERROR bad command line format
            | get a\x00\r\n -> CLIENT_ERROR bad command line format
            | get a\tb\r\n -> CLIENT_ERROR bad command line format
            | delete a\x1f\r\n -> CLIENT_ERROR bad command line format
            | set a\x01 0 0 7\r\nversion\r\n -> CLIENT_ERROR bad command line format
        """,
        "A slash starts options; those that are none are refused.": """
            > get q/opens -> CLIENT_ERROR unknown option
            > get q/ -> CLIENT_ERROR unknown option
            > get / -> CLIENT_ERROR bad command line format
            > delete q/x -> CLIENT_ERROR unknown option
            > set q/x 0 0 7 | version -> CLIENT_ERROR unknown option
            > stats queue -> END
        """,
    }
)
class NameSessions(SessionTestCase):
    """Queue names."""


@sessions(
    {
        "A queue that does not exist is made.": """
            > stats queue -> END
            > set q 0 0 5 | hello -> STORED
            > stats queue -> STAT q 1/0 | END
        """,
        "Flags are 0 to 4294967295 and come back unsigned.": """
            > set q 0 0 1 | a -> STORED
            > set q 4294967295 0 1 | b -> STORED
            > get q q
            < VALUE q 0 1
            < a
            < VALUE q 4294967295 1
            < b
            < END
        """,
        "Flags out of range are refused and the body is thrown away.": """
            > set q 4294967296 0 7 | version -> CLIENT_ERROR bad command line format
            > set q -1 0 7 | version -> CLIENT_ERROR bad command line format
            > set q 99999999999999999999 0 7
            > version -> CLIENT_ERROR bad command line format
            > stats queue -> END
        """,
        "Flags that are not a decimal number are refused too.": """
            > set q abc 0 7 | version -> CLIENT_ERROR bad command line format
            > set q 5x 0 7 | version -> CLIENT_ERROR bad command line format
            > set q +5 0 7 | version -> CLIENT_ERROR bad command line format
            > set q 1_0 0 7 | version -> CLIENT_ERROR bad command line format
        """,
        "An exptime is read and ignored.": """
            > set q 0 1 1 | a -> STORED
            > set q 0 -1 1 | b -> STORED
            > set q 0 1700000000 1 | c -> STORED
            > get q q q
            < VALUE q 0 1
            < a
            < VALUE q 0 1
            < b
            < VALUE q 0 1
            < c
            < END
        """,
        "An exptime that is not a decimal number is refused.": """
            > set q 0 abc 7 | version -> CLIENT_ERROR bad command line format
            > set q 0 - 7 | version -> CLIENT_ERROR bad command line format
            > set q 0 --1 7 | version -> CLIENT_ERROR bad command line format
        """,
        "Bytes that are not a decimal number close.": """
            > set q 0 0 abc -> CLIENT_ERROR bad command line format
            closed
        """,
        "So does a sixth word that is not noreply.": """
            > set q 0 0 7 what -> ERROR
            closed
        """,
        "So do more words.": """
            > set q 0 0 7 noreply 2 -> ERROR
            closed
        """,
        "So do too few.": """
            > set q 0 0 -> ERROR
            closed
        """,
        "More words that end in noreply close silently.": """
            > set q 0 0 7 1 noreply
            closed
        """,
        "Negative bytes close.": """
            > set q 0 0 -1 -> CLIENT_ERROR bad command line format
            closed
        """,
        "So do bytes over 2147483645.": """
            > set q 0 0 2147483646 -> CLIENT_ERROR bad command line format
            closed
        """,
        "A body that is not followed by CR LF is a bad chunk, and closes.": r"""
            | set q 0 0 5\r\nhelloXXversion\r\n -> CLIENT_ERROR bad data chunk
            closed
        """,
        "So does one with two LF behind it.": r"""
            | set q 0 0 5\r\nhello\n\nversion\r\n -> CLIENT_ERROR bad data chunk
            closed
        """,
        "So does one that is too long.": """
            > set q 0 0 3 | hello -> CLIENT_ERROR bad data chunk
            closed
        """,
        "So does one that is too short.": r"""
            | set q 0 0 3\r\nhi\r\nversion\r\n -> CLIENT_ERROR bad data chunk
            closed
        """,
        "A message may be empty.": r"""
            | set q 9 0 0\r\n\r\n -> STORED
            > get q -> VALUE q 9 0
            <
            < END
        """,
        "A body may be any bytes.": r"""
            | set q 0 0 15\r\nEND\r\n\x00\xff\nget q\r\n\r\n -> STORED
            > set r 0 0 1 | x -> STORED
        """,
        "Noreply means no reply.": """
            > set q 0 0 5 noreply | hello
            > get q -> VALUE q 0 5 | hello | END
        """,
        "Noreply silences errors, and stays in step.": r"""
            > set q abc 0 7 noreply | version
            > set a/b 0 0 7 noreply | version
            > stats queue -> END
        """,
        "With noreply what closes does so silently.": r"""
            | set q 0 0 5 noreply\r\nhelloXX
            closed
        """,
        "So where the bytes are not known.": """
            > set q 0 0 -1 noreply
            closed
        """,
        "What memcached has beside set is an ERROR, once, and its body swallowed.": """
            > replace q 0 0 7 | version -> ERROR
            > append q 0 0 7 | version -> ERROR
            > prepend q 0 0 7 | version -> ERROR
            > cas q 0 0 7 12345 | version -> ERROR
            > stats queue -> END
        """,
        "An add without a number closes.": """
            > add q 0 0 -> ERROR
            closed
        """,
        "So does one whose number is none.": """
            > add q 0 0 x -> CLIENT_ERROR bad command line format
            closed
        """,
        "So does an append without a number.": """
            > append q 0 0 -> ERROR
            closed
        """,
        "Incr, decr, touch and gat are an ERROR.": """
            > incr q 1 -> ERROR
            > decr q 1 -> ERROR
            > touch q 1 -> ERROR
            > gat 1 q -> ERROR
        """,
    }
)
class SetSessions(SessionTestCase):
    """The command set."""


@sessions(
    {
        "A body over max-body is swallowed.": """
            > set q 0 0 12 | version12345 -> SERVER_ERROR object too large for cache
            > set q 0 0 11 | hello world -> STORED
            > stats queue -> STAT q 1/0 | END
        """,
        "With noreply silently.": """
            > set q 0 0 12 noreply | version12345
            > stats queue -> END
        """,
    }
)
class MaxBodySessions(SessionTestCase):
    """The option --max-body."""

    options: ClassVar[dict[str, Any]] = {"maxBody": 11}


@sessions(
    {
        "A get takes the head.": """
            > set q 1 0 1 | a -> STORED
            > set q 2 0 1 | b -> STORED
            > get q -> VALUE q 1 1 | a | END
            > get q -> VALUE q 2 1 | b | END
            > get q -> END
        """,
        "A get of several takes one of each in the order of names.": """
            > set a 0 0 1 | 1 -> STORED
            > set b 0 0 1 | 2 -> STORED
            > get b a
            < VALUE b 0 1
            < 2
            < VALUE a 0 1
            < 1
            < END
        """,
        "A queue named twice gives two.": """
            > set q 0 0 1 | a -> STORED
            > set q 0 0 1 | b -> STORED
            > get q q q
            < VALUE q 0 1
            < a
            < VALUE q 0 1
            < b
            < END
        """,
        "One that is empty or unknown is left out.": """
            > set q 0 0 1 | a -> STORED
            > get unknown q q other -> VALUE q 0 1 | a | END
            > get unknown other -> END
        """,
        "A get does not make a queue.": """
            > get q -> END
            > stats queue -> END
        """,
        "A bad name among others loses nothing.": """
            > set q 0 0 1 | a -> STORED
            > get q q/x -> CLIENT_ERROR unknown option
            > get q N251 -> CLIENT_ERROR bad command line format
            > gets q N251 -> CLIENT_ERROR bad command line format
            > get q -> VALUE q 0 1 | a | END
        """,
        "Gets of an empty queue is END.": """
            > gets q -> END
            > gets q r -> END
        """,
    }
)
class GetSessions(SessionTestCase):
    """The commands get and gets."""

    def test_sequence(self) -> None:
        """A gets adds the message's sequence number, which only goes up."""
        client = self.harness().connect()
        for _ in range(3):
            client.talk(b"set q 5 0 2\r\nhi\r\n")
        numbers = []
        for request in (b"gets q\r\n", b"gets q none q\r\n"):
            lines = client.talk(request).split(b"\r\n")
            self.assertEqual(lines[1::2], [b"hi"] * (len(lines) // 2 - 1) + [b""])
            self.assertEqual(lines[-2], b"END")
            for line in lines[:-2:2]:
                words = line.split()
                self.assertEqual(words[:4], [b"VALUE", b"q", b"5", b"2"])
                numbers.append(int(words[4]))
        self.assertEqual(len(numbers), 3)
        self.assertEqual(numbers, sorted(set(numbers)))


@sessions(
    {
        "A queue goes with all that is in it.": """
            > set q 0 0 1 | a -> STORED
            > set q 0 0 1 | b -> STORED
            > delete q -> DELETED
            > get q -> END
            > stats queue -> END
        """,
        "One that is not there is not found.": """
            > delete q -> NOT_FOUND
        """,
        "A set right after makes a new one.": r"""
            | set q 0 0 1\r\na\r\ndelete q\r\nset q 0 0 1\r\nb\r\nget q\r\nstats queue\n
            < STORED
            < DELETED
            < STORED
            < VALUE q 0 1
            < b
            < END
            < STAT q 1/1
            < END
        """,
        "An empty queue is one.": """
            > set q 0 0 1 | a -> STORED
            > get q -> VALUE q 0 1 | a | END
            > delete q -> DELETED
            > delete q -> NOT_FOUND
        """,
        "Anything may follow the name.": """
            > delete q 0 -> NOT_FOUND
            > delete q anything -> NOT_FOUND
        """,
        "Noreply silences it.": """
            > set q 0 0 1 | a -> STORED
            > delete q noreply
            > delete q noreply
            > delete q 0 noreply
            > delete a/b noreply
            > delete q 0 0 noreply
            > stats queue -> END
        """,
    }
)
class DeleteSessions(SessionTestCase):
    """The command delete."""


@sessions(
    {
        "It is not allowed unless enabled.": """
            > set q 0 0 1 | a -> STORED
            > flush_all -> CLIENT_ERROR flush_all not allowed
            > flush_all 0 -> CLIENT_ERROR flush_all not allowed
            > flush_all 10 -> CLIENT_ERROR flush_all not allowed
            > get q -> VALUE q 0 1 | a | END
        """,
        "Noreply silences that.": """
            > flush_all noreply
            > flush_all 0 noreply
            > version -> VERSION #
        """,
    }
)
class FlushAllSessions(SessionTestCase):
    """The command flush_all, as it is by default."""


@sessions(
    {
        "Every queue is emptied.": """
            > set a 0 0 1 | 1 -> STORED
            > set b 0 0 1 | 2 -> STORED
            > flush_all -> OK
            > get a b -> END
            > flush_all -> OK
        """,
        "A delay other than 0 is refused.": """
            > set q 0 0 1 | a -> STORED
            > flush_all 10 -> CLIENT_ERROR bad command line format
            > flush_all 10 noreply
            > get q -> VALUE q 0 1 | a | END
            > flush_all 0 -> OK
        """,
        "Noreply silences it.": """
            > set q 0 0 1 | a -> STORED
            > flush_all noreply
            > get q -> END
        """,
    }
)
class FlushAllEnabledSessions(SessionTestCase):
    """The command flush_all with --enable-flush-all."""

    options: ClassVar[dict[str, Any]] = {"flushAllEnabled": True}


@sessions(
    {
        "Stats queue lists every queue sorted by name.": """
            > set b 0 0 1 | 1 -> STORED
            > set a 0 0 1 | 1 -> STORED
            > set B 0 0 1 | 1 -> STORED
            > get a -> VALUE a 0 1 | 1 | END
            > stats queue -> STAT B 1/0 | STAT a 1/1 | STAT b 1/0 | END
        """,
        "Words after queue are ignored.": """
            > stats queue and more -> END
        """,
        "Stats reset zeroes.": """
            > set q 0 0 1 | a -> STORED
            > stats reset -> RESET
            > stats queue -> STAT q 1/0 | END
        """,
        "There is nothing of what memcached tells of items in memory.": """
            > set q 0 0 1 | a -> STORED
            > stats items -> END
            > stats cachedump 1 100 -> END
            > lru_crawler metadump all -> END
        """,
        "Anything else after stats is an ERROR.": """
            > stats everything -> ERROR
            > lru_crawler enable -> ERROR
            > stats settings now -> ERROR
            > stats reset now -> ERROR
        """,
        "Stats sees what was sent before it.": r"""
            | set q 0 0 1\r\na\r\nstats queue\r\nget q\r\nstats queue\r\n
            < STORED
            < STAT q 1/0
            < END
            < VALUE q 0 1
            < a
            < END
            < STAT q 1/1
            < END
        """,
    }
)
class StatsSessions(SessionTestCase):
    """The command stats."""


@sessions(
    {
        "Version has three numbers with dots.": """
            > version -> VERSION #
        """,
        "Verbosity is OK.": """
            > verbosity 2 -> OK
            > verbosity 1 noreply
            > verbosity noreply
            > verbosity x -> CLIENT_ERROR bad command line format
            > verbosity x noreply
            > verbosity 1 2 noreply
            > version -> VERSION #
        """,
        "Quit closes.": """
            > quit
            closed
        """,
        "Quit comes after the replies to what was sent before.": r"""
            | set q 0 0 1\r\na\r\nget q\r\nquit\r\nversion\r\n
            < STORED
            < VALUE q 0 1
            < a
            < END
            closed
        """,
        "Checkpoint and archive are OK, in their place.": r"""
            | version\r\ndb_checkpoint\r\nset q 0 0 1\r\nx\r\ndb_archive\r\nget q\r\n
            < VERSION #
            < OK
            < STORED
            < OK
            < VALUE q 0 1
            < x
            < END
        """,
        "The session of old.": """
            > set q4 0 0 5 | hello -> STORED
            > set q4 0 0 5 | world -> STORED
            > stats queue -> STAT q4 2/0 | END
            > get q4 -> VALUE q4 0 5 | hello | END
            > stats queue -> STAT q4 2/1 | END
        """,
    }
)
class OtherSessions(SessionTestCase):
    """The rest."""

    def test_version(self) -> None:
        """Client libraries parse the version."""
        self.assertRegex(
            self.harness().connect().talk(b"version\r\n"),
            rb"\AVERSION \d+\.\d+\.\d+\r\n\Z",
        )
