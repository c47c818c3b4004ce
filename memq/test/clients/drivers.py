"""The clients that speak other languages, each in a process of its own.

A script in this directory, there is one for each language or library, takes the port,
the protocol and perhaps the name of a library.  It carries out one request a line, and
answers in one:

    push QUEUE FLAGS BODY       yes | no
    pop QUEUE                   message FLAGS BODY | none
    popeach QUEUE...            found [QUEUE BODY]...
    delete QUEUE                yes | no
    stats                       found [QUEUE COUNTS]...

or to each of them ``error WORDS...``, when its library says that something is wrong.
CLIENT_USER and CLIENT_SECRET are who it is to say that it is, or nothing.  CLIENT_CA is
the authority that it is to believe, if it is to speak TLS; CLIENT_CERTIFICATE and
CLIENT_KEY are what it is to show.
Words are separated by one space each; BODY is in base64, so it may be nothing.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from base64 import b64decode, b64encode
from contextlib import suppress
from threading import Timer
from typing import IO, ClassVar, cast

from memq.test.clients.client import PATIENCE, Client, ClientFailure, Message

#: Where the scripts are.
SCRIPTS = os.path.dirname(os.path.abspath(__file__))

PERL = ("perl",)
#: PHP, with what goes wrong on standard error, and values never compressed.
PHP = ("php", "-d", "display_errors=stderr", "-d", "memcache.compress_threshold=0")


class Driver(Client):
    """A script, and the requests that it is sent."""

    #: How its language is run.
    interpreter: ClassVar[tuple[str, ...]]
    #: The script's name.
    script: ClassVar[str]
    #: The library, for a script that drives several.
    library: ClassVar[str] = ""
    #: What its environment has beside the test's.
    variables: ClassVar[dict[str, str]] = {}

    #: Who it says that it is, and its secret; nothing for one that says nothing.
    user: str = ""
    secret: str = ""
    #: Files of an authority, and perhaps of a certificate and its key, to speak TLS.
    files: tuple[str, ...] = ()
    #: Seconds that its library is told to wait for an answer, if it can be told.
    patience: float = PATIENCE

    def command(self) -> list[str]:
        """Return the command that runs it, up to the port."""
        return [*self.interpreter, os.path.join(SCRIPTS, self.script)]

    async def connect(self, port: int) -> None:
        """Start the script."""
        # Its errors go into a file, where they can never hold it up.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close
        authority, certificate, key = (*self.files, "", "", "")[:3]
        self._process = subprocess.Popen(
            [*self.command(), str(port), self.protocol, self.library],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=os.environ
            | self.variables
            | {
                "PATIENCE": str(self.patience),
                "CLIENT_USER": self.user,
                "CLIENT_SECRET": self.secret,
                "CLIENT_CA": authority,
                "CLIENT_CERTIFICATE": certificate,
                "CLIENT_KEY": key,
            },
        )
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._replies = cast("IO[bytes]", self._process.stdout)

    async def close(self) -> None:
        """End the script, which ends with its input."""
        with suppress(BrokenPipeError):
            self._requests.close()
        self._replies.close()
        self._process.wait(PATIENCE)
        self._errors.close()

    def ask(self, *words: bytes) -> list[bytes]:
        """Send a request, and return the words of the reply."""
        patience = Timer(PATIENCE, self._process.kill)
        patience.start()
        reply = b""
        try:
            self._requests.write(b" ".join(words) + b"\n")
            self._requests.flush()
            reply = self._replies.readline()
        except BrokenPipeError:
            pass  # it ended before the request, which is told below
        finally:
            patience.cancel()
        if not reply:
            self._errors.seek(0)
            errors = self._errors.read().decode(errors="replace")
            raise AssertionError(f"{type(self).__name__} ended: {errors}")
        if reply.startswith(b"error "):
            raise ClientFailure(reply.decode(errors="replace"))
        return reply.rstrip(b"\n").split(b" ")

    async def push(self, queue: str, body: bytes, flags: int = 0) -> bool:
        """Have a message pushed."""
        words = [queue.encode(), b"%d" % flags, b64encode(body)]
        try:
            return self.ask(b"push", *words) == [b"yes"]
        except ClientFailure:
            return False

    async def pop(self, queue: str) -> Message | None:
        """Have a message popped."""
        reply, *words = self.ask(b"pop", queue.encode())
        if reply == b"none":
            return None
        flags, body = words
        return Message(int(flags), b64decode(body))

    async def popEach(self, queues: list[str]) -> dict[str, bytes]:
        """Have several queues popped at once."""
        found = self._pairs(b"popeach", *[queue.encode() for queue in queues])
        return {queue: b64decode(body) for queue, body in found.items()}

    async def delete(self, queue: str) -> bool:
        """Have a queue deleted."""
        return self.ask(b"delete", queue.encode()) == [b"yes"]

    async def stats(self) -> dict[str, str]:
        """Have ``stats queue`` asked for."""
        found = self._pairs(b"stats")
        return {queue: counts.decode() for queue, counts in found.items()}

    def _pairs(self, *words: bytes) -> dict[str, bytes]:
        """Send a request whose reply is pairs of a queue and something."""
        found = self.ask(*words)[1:]
        names = [name.decode() for name in found[::2]]
        return dict(zip(names, found[1::2], strict=True))


class PHPMemcache(Driver):
    """PHP's extension memcache; the lower half of the flags is its own."""

    interpreter = PHP
    script = "memcache.php"
    flags = (0, 1 << 16, 0x7FFF0000, 0xFFFF0000)


class PHPMemcached(Driver):
    """PHP's extension memcached, which gives its users 16 bits of flags."""

    interpreter = PHP
    script = "memcached.php"
    flags = (0, 1, 255, 65535)


class BinaryPHPMemcache(PHPMemcache):
    """PHP's extension memcache, with memcache.protocol=binary."""

    protocol = "binary"


class BinaryPHPMemcached(PHPMemcached):
    """PHP's extension memcached, with OPT_BINARY_PROTOCOL."""

    protocol = "binary"


class CacheMemcached(Driver):
    """Perl's Cache::Memcached, whose flag 1 is a reference, serialised."""

    interpreter = PERL
    script = "cache-memcached.pl"
    flags = (0, 1)


class CacheMemcachedFast(Driver):
    """Perl's Cache::Memcached::Fast, whose flag 1 is a reference, serialised."""

    interpreter = PERL
    script = "cache-memcached-fast.pl"
    flags = (0, 1)
    reconnects = True


class NetMemcacheQ(Driver):
    """The commands of Perl's Net::MemcacheQ, which has no flags."""

    interpreter = PERL
    script = "net-memcacheq.pl"
    flags = (0,)


class ZendQueue(Driver):
    """The commands of ZendQueue's adapter for MemcacheQ, which has no flags."""

    interpreter = PHP
    script = "zendqueue.php"
    flags = (0,)
