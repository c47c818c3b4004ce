"""What twistd reads to know the command ``memq``; it imports no code of memq."""

from twisted.application.service import ServiceMaker

memq = ServiceMaker(
    "memq",
    "memq.tap",
    "A persistent message queue behind the memcached protocol.",
    "memq",
)
