"""The clients that tools/clients fetches, and others that it makes ready.

Each of them has a driver; see drivers.py.
"""

from __future__ import annotations

import os
import sys
from typing import ClassVar

from memq.test.clients.client import BODIES, MEGABYTE
from memq.test.clients.drivers import Driver
from testkit.servers import ROOT

#: Where tools/clients and tools/unpack put things.
FETCHED = os.path.join(ROOT, "var", "clients")
#: Where gems of Debian 13 are.
GEMS = os.path.join(FETCHED, "trixie/usr/share/rubygems-integration/all/gems")
#: The jar of Debian's libspymemcached-java.
JAR = "/usr/share/java/spymemcached.jar"


class _Node(Driver):
    interpreter = ("node",)
    script = "driver.js"
    variables: ClassVar[dict[str, str]] = {
        "NODE_PATH": os.path.join(FETCHED, "node_modules"),
    }
    reconnects = True


class Memjs(_Node):
    """Node's memjs, which has no flags."""

    library = "memjs"
    protocol = "binary"
    flags = (0,)


class NodeMemcached(_Node):
    """Node's memcached, whose flags are the types that it takes and returns.

    It sends bytes as UTF-8, two for each above 127, and escapes line ends; nobody else
    reads that.  What is too long for it then is refused.
    """

    library = "memcached"
    flags = (0, 1, 2)
    bodies = (*BODIES[:-1], b"x" * (MEGABYTE - 512))
    exact = False


class MemcacheClient(_Node):
    """Node's memcache-client, whose flags are the types that it takes and returns.

    It takes for text in UTF-8 what another client pushed with flags 0.
    """

    library = "memcache-client"
    flags = (0, 1, 2)
    exact = False


class Dalli(Driver):
    """Ruby's Dalli of Debian 12; its flag 1 is a value that Marshal made."""

    interpreter = ("ruby",)
    script = "driver.rb"
    protocol = "binary"
    flags = (0, 1)
    topics = False
    reconnects = True


class _NewerDalli(Dalli):
    library = "3.2.8"
    variables: ClassVar[dict[str, str]] = {"RUBYLIB": f"{GEMS}/dalli-3.2.8/lib"}


class BinaryDalli(_NewerDalli):
    """Ruby's Dalli of Debian 13, as it comes."""


class MetaDalli(_NewerDalli):
    """Ruby's Dalli of Debian 13, told that the protocol is meta.

    It reads a body up to its first line end, from memcached too.
    """

    protocol = "meta"
    bodies = tuple(body for body in BODIES if b"\r\n" not in body)
    lines = False


class Spymemcached(Driver):
    """Java's spymemcached, whose flags are a signed int."""

    # Most of the time goes into the start of the machine.
    interpreter = (
        *("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"),
        *("-cp", os.pathsep.join([os.path.join(FETCHED, "java"), JAR]), "Driver"),
    )
    flags = (0, 1, 65535, 65536, 0x7FFFFFFF)
    reconnects = True

    def command(self) -> list[str]:
        """Return the command, whose script is a class."""
        return list(self.interpreter)


class BinarySpymemcached(Spymemcached):
    """Java's spymemcached, told that the protocol is BINARY."""

    protocol = "binary"


class Gomemcache(Driver):
    """Go's gomemcache."""

    reconnects = True

    def command(self) -> list[str]:
        """Return the program that was built from the script."""
        return [os.path.join(FETCHED, "gomemcache")]


class _Python(Driver):
    interpreter = (sys.executable,)
    script = "driver.py"
    variables: ClassVar[dict[str, str]] = {
        "PYTHONPATH": os.path.join(FETCHED, "python"),
    }
    reconnects = True


class Aiomcache(_Python):
    """Python's aiomcache."""

    library = "aiomcache"


class PooledAiomcache(Aiomcache):
    """Python's aiomcache, with a pool of two connections, as it comes."""

    variables: ClassVar[dict[str, str]] = {**_Python.variables, "POOL": "2"}


class Emcache(_Python):
    """Python's emcache, whose flags have 16 bits."""

    library = "emcache"
    flags = (0, 1, 65535)


class Bmemcached(_Python):
    """Python's python-binary-memcached in raw data mode, which has no flags."""

    library = "bmemcached"
    protocol = "binary"
    flags = (0,)
    misses = False


class MetaMemcache(_Python):
    """Python's meta-memcache, with a serializer that leaves bytes alone."""

    library = "meta_memcache"
    protocol = "meta"


class AiskMemcache(_Python):
    """Python's memcache, whose module has the name of python-memcached's.

    It cannot send a body of nothing, and returns nothing from set and delete.
    """

    library = "memcache"
    protocol = "meta"
    bodies = BODIES[1:]
    misses = False
