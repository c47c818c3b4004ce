"""The binary protocol, byte for byte: what each request is answered."""

from __future__ import annotations

from typing import Any, ClassVar

from memq import __version__
from memq.policy.rule import WRITES
from memq.test.support.packets import (
    ConversationTestCase,
    conversations,
)
from memq.test.support.readers import rules
from memq.wire.text import versionNumbers

SET = "extras=0000000000000000"
VERSION = versionNumbers(__version__).decode()


@conversations(
    {
        "setGet": f"""
            A set appends, a get takes the oldest, with its flags and its number.
            Set key=q {SET} value=one -> Set
            Set key=q extras=deadbeef00000e10 value=two opaque=7 -> Set opaque=7 cas=1
            Get key=q opaque=8 -> Get extras=00000000 value=one opaque=8
            Get key=q -> Get extras=deadbeef value=two cas=1
            Get key=q opaque=9 -> Get status=0001 value=not\\sfound opaque=9
            """,
        "keys": f"""
            GetK tells the key, also of a queue that is empty.
            Set key=q {SET} value=one -> Set
            GetK key=q opaque=1 -> GetK extras=00000000 key=q value=one opaque=1
            GetK key=q opaque=2 -> GetK status=0001 key=q opaque=2
            """,
        "quietGets": f"""
            Quiet gets are silent about queues that are empty; a Noop ends them.
            SetQ key=a {SET} value=one | SetQ key=b {SET} value=two
            GetKQ key=a opaque=1 | GetQ key=none | GetKQ key=none | \
                GetQ key=b opaque=4 | Noop opaque=5 \
                -> GetKQ extras=00000000 key=a value=one opaque=1 | \
                GetQ extras=00000000 value=two opaque=4 | Noop opaque=5
            """,
        "quietSets": f"""
            Quiet sets say nothing, and none is lost.
            SetQ key=q {SET} value=one | SetQ key=q {SET} value=two opaque=2
            SetQ key=q {SET} value= | Set key=q {SET} value=four -> Set cas=3
            Stat key=queue -> Stat key=q value=4/0 | Stat
            GetQ key=q | GetQ key=q opaque=1 | GetQ key=q opaque=2 | Get key=q \
                -> GetQ extras=00000000 value=one | \
                GetQ extras=00000000 value=two opaque=1 cas=1 | \
                GetQ extras=00000000 opaque=2 cas=2 | \
                Get extras=00000000 value=four cas=3
            """,
        "anyBytes": f"""
            A body may have any bytes, among them those of packets and lines.
            Set key=q {SET} value=\\x80\\x00\\r\\nEND\\r\\n\\x00\\xff -> Set
            Get key=q -> Get extras=00000000 value=\\x80\\x00\\r\\nEND\\r\\n\\x00\\xff
            """,
        "large": f"""
            A body of more than a part is stored and sent in parts.
            Set key=q {SET} value=x*150000 opaque=3 -> Set opaque=3
            SetQ key=q {SET} value=y*65537
            GetK key=q | GetQ key=q opaque=2 | GetQ key=q \
                -> GetK extras=00000000 key=q value=x*150000 | \
                GetQ extras=00000000 value=y*65537 opaque=2 cas=1
            """,
        "delete": f"""
            A delete deletes the queue.
            Set key=q {SET} value=one -> Set
            Delete key=q opaque=1 -> Delete opaque=1
            Delete key=q opaque=2 -> Delete status=0001 value=not\\sfound opaque=2
            Set key=q {SET} value=one -> Set
            DeleteQ key=q | DeleteQ key=q opaque=4 \
                -> DeleteQ status=0001 value=not\\sfound opaque=4
            """,
        "open": f"""
            Keys have the options that they have in text.
            Set key=q {SET} value=one -> Set
            Set key=q/delay=0 {SET} value=two -> Set cas=1
            Get key=q/peek -> Get extras=00000000 value=one
            GetK key=q/open -> GetK extras=00000000 key=q/open value=one
            Get key=q/open -> Get status=0085 value=close\\scurrent\\sitem\\sfirst
            Get key=q/close/open -> Get extras=00000000 value=two cas=1
            GetK key=q/abort -> GetK status=0001 key=q/abort
            GetQ key=q/open opaque=7 | GetQ key=q/close | Noop \
                -> GetQ extras=00000000 value=two opaque=7 cas=1 | Noop
            """,
        "number": f"""
            The CAS of an open message is the number by which it is closed.
            SetQ key=q {SET} value=a | SetQ key=q {SET} value=b
            Get key=q -> Get extras=00000000 value=a
            Get key=q/open -> Get extras=00000000 value=b cas=1
            Delete key=q/open=0 opaque=1 -> Delete status=0001 opaque=1 \
                value=not\\sfound
            Delete key=q/open=1 opaque=2 -> Delete opaque=2
            DeleteQ key=q/open=1 opaque=3 -> DeleteQ status=0001 opaque=3 \
                value=not\\sfound
            Stat key=queue -> Stat key=q value=2/2 | Stat
            """,
        "badOptions": f"""
            An option that a command does not have is invalid, and the body thrown away.
            Get key=q/what opaque=1 -> Get status=0004 value=unknown\\soption opaque=1
            GetQ key=q/t=x -> GetQ status=0004 \
                value=t=\\stakes\\s0\\sto\\s3600000\\smilliseconds
            Set key=q/open {SET} value=one -> Set status=0004 value=unknown\\soption
            SetQ key=q/delay=x {SET} value=one opaque=2 -> SetQ status=0004 opaque=2 \
                value=delay=\\stakes\\s0\\sto\\s31536000\\sseconds
            Delete key=q/open -> Delete status=0004 value=unknown\\soption
            Get key=a\\sb -> Get status=0004 value=bad\\scommand\\sline\\sformat
            Stat key=queue -> Stat
            """,
        "names": f"""
            A name of 250 bytes is one, a longer one is none, however long it is.
            Set key=n*250 {SET} value=one -> Set
            GetK key=n*250 -> GetK extras=00000000 key=n*250 value=one
            Set key=n*251 {SET} value=one -> Set status=0004 \
                value=bad\\scommand\\sline\\sformat
            Get key=n*251 -> Get status=0004 value=bad\\scommand\\sline\\sformat
            SetQ key=n*65535 {SET} value=one opaque=1 | Noop -> SetQ status=0004 \
                value=bad\\scommand\\sline\\sformat opaque=1 | Noop
            """,
        "invalid": f"""
            A request that has more or less than its opcode takes is thrown away whole.
            Get -> Get status=0004 value=invalid\\sarguments
            GetQ opaque=2 -> GetQ status=0004 value=invalid\\sarguments opaque=2
            Get key=q value=x -> Get status=0004 value=invalid\\sarguments
            Get key=q extras=00 -> Get status=0004 value=invalid\\sarguments
            Set key=q value=one -> Set status=0004 value=invalid\\sarguments
            Set key=q extras=00000000 value=one -> Set status=0004 \
                value=invalid\\sarguments
            SetQ {SET} value=one -> SetQ status=0004 value=invalid\\sarguments
            Delete key=q value=x -> Delete status=0004 value=invalid\\sarguments
            DeleteQ key=q extras=00000000 -> DeleteQ status=0004 \
                value=invalid\\sarguments
            Noop key=q -> Noop status=0004 value=invalid\\sarguments
            Noop value=x -> Noop status=0004 value=invalid\\sarguments
            Version extras=00 -> Version status=0004 value=invalid\\sarguments
            Flush key=q -> Flush status=0004 value=invalid\\sarguments
            Flush extras=00 -> Flush status=0004 value=invalid\\sarguments
            Stat key=queue value=x -> Stat status=0004 value=invalid\\sarguments
            Verbosity -> Verbosity status=0004 value=invalid\\sarguments
            Quit value=x -> Quit status=0004 value=invalid\\sarguments
            """,
        "cas": f"""
            What is to be done only if a number is right is refused; a get ignores it.
            Set key=q {SET} value=one cas=1 opaque=1 \
                -> Set opaque=1 status=0004 \
                value=cas\\shas\\sno\\smeaning\\sfor\\sa\\squeue
            SetQ key=q {SET} value=one cas=18446744073709551615 \
                -> SetQ status=0004 value=cas\\shas\\sno\\smeaning\\sfor\\sa\\squeue
            Delete key=q cas=1 -> Delete status=0004 \
                value=cas\\shas\\sno\\smeaning\\sfor\\sa\\squeue
            Set key=q {SET} value=one -> Set
            Get key=q cas=5 -> Get extras=00000000 value=one
            """,
        "unknown": f"""
            All other opcodes are unknown, quiet or not, and their bodies thrown away.
            Add key=q {SET} value=one -> Add status=0081 value=unknown\\scommand
            ReplaceQ key=q {SET} value=one opaque=5 \
                -> ReplaceQ status=0081 value=unknown\\scommand opaque=5
            Increment key=q extras={"00" * 20} \
                -> Increment status=0081 value=unknown\\scommand
            Append key=q value=one -> Append status=0081 value=unknown\\scommand
            Touch key=q extras=00000000 -> Touch status=0081 value=unknown\\scommand
            GAT key=q extras=00000000 -> GAT status=0081 value=unknown\\scommand
            0xff key=q extras=00 value=x*70000 cas=5 opaque=9 \
                -> 0xff status=0081 value=unknown\\scommand opaque=9
            Stat key=queue -> Stat
            """,
        "sasl": """
            Where nobody asks, a client may say who it is, and be anybody.
            SASLList opaque=1 -> SASLList value=PLAIN\\s opaque=1
            SASLAuth key=PLAIN value=\\x00me\\x00secret opaque=2 \
                -> SASLAuth value=Authenticated opaque=2
            SASLStep key=plain value=x*70000 -> SASLStep value=Authenticated
            SASLAuth key=CRAM-MD5 value=x \
                -> SASLAuth status=0020 value=Auth\\sfailure.
            SASLAuth value=x -> SASLAuth status=0004 value=invalid\\sarguments
            SASLList key=x -> SASLList status=0004 value=invalid\\sarguments
            """,
        "stat": f"""
            Stat tells what stats tells, a packet a figure, and ends with an empty one.
            SetQ key=b {SET} value=one | SetQ key=a {SET} value=one
            Stat key=queue opaque=1 -> Stat key=a value=1/0 opaque=1 | \
                Stat key=b value=1/0 opaque=1 | Stat opaque=1
            Stat key=queue\\sand\\smore -> Stat key=a value=1/0 | \
                Stat key=b value=1/0 | Stat
            Stat key=reset -> Stat
            Stat key=items -> Stat
            Stat key=detail\\snone -> Stat
            Stat key=detail\\sa/b -> Stat status=0004 \
                value=bad\\scommand\\sline\\sformat
            Stat key=everything opaque=2 -> Stat status=0081 \
                value=unknown\\scommand opaque=2
            """,
        "quit": """
            Quit is answered, and what is behind it dropped.
            Noop | Quit opaque=7 | Noop -> Noop | Quit opaque=7 | closed
            """,
        "quitQuietly": """
            QuitQ is not.
            Noop | QuitQ opaque=7 | Noop -> Noop | closed
            """,
        "flush": """
            Flush is refused without --enable-flush-all, and in quiet too.
            Flush -> Flush status=0020 value=flush_all\\snot\\sallowed
            FlushQ opaque=2 | Noop -> FlushQ status=0020 \
                value=flush_all\\snot\\sallowed opaque=2 | Noop
            """,
        "verbosity": """
            Verbosity has no effect.
            Verbosity extras=00000001 opaque=3 -> Verbosity opaque=3
            """,
        "version": f"""
            A version is three numbers.
            Version opaque=1 -> Version value={VERSION} opaque=1
            """,
    }
)
class ConversationTests(ConversationTestCase):
    """What is said, and what is answered."""


@conversations(
    {
        "flush": f"""
            Flush empties all queues; FlushQ does so and says nothing.
            Set key=q {SET} value=one -> Set
            Flush extras=00000000 -> Flush
            Get key=q -> Get status=0001 value=not\\sfound
            Set key=q {SET} value=one -> Set cas=1
            FlushQ | Get key=q -> Get status=0001 value=not\\sfound
            Flush extras=0000000a -> Flush status=0004 \
                value=bad\\scommand\\sline\\sformat
            """,
        "tooLarge": f"""
            A body over --max-body is refused, and thrown away as it comes.
            Set key=q {SET} value=x*100 -> Set
            Set key=q {SET} value=x*101 opaque=1 -> Set status=0003 \
                value=object\\stoo\\slarge\\sfor\\scache opaque=1
            SetQ key=q {SET} value=x*100000 opaque=2 -> SetQ status=0003 \
                value=object\\stoo\\slarge\\sfor\\scache opaque=2
            """,
        "full": f"""
            A queue that is full or paused stores nothing, and quiet sets are told so.
            SetQ key=two {SET} value=a | SetQ key=two {SET} value=b opaque=1 | \
                SetQ key=two {SET} value=c opaque=2 | SetQ key=two {SET} value=d \
                opaque=3 -> SetQ status=0005 value=not\\sstored opaque=2 | \
                SetQ status=0005 value=not\\sstored opaque=3
            Set key=paused {SET} value=a -> Set status=0005 value=not\\sstored
            """,
    }
)
class OptionTests(ConversationTestCase):
    """The same with options of the server, and rules."""

    options: ClassVar[dict[str, Any]] = {
        "flushAllEnabled": True,
        "maxBody": 100,
        "rules": rules(two={"max_items": 2}, paused={"paused": WRITES}),
    }
