"""A small client in a process of its own, which tells how long it waits.

``python -m bench.probe PORT SECONDS`` sets a message and gets it, again and again with
little pauses, and every so many seconds writes a line: how long each command took, in
milliseconds, as a list in JSON.  It ends when its server does.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing, suppress
from socket import create_connection

from testkit.wire import Wire

#: The queue that it uses.
QUEUE = b"probe"
#: Seconds between two messages, and until an answer at the latest.
PAUSE, PATIENCE = 0.02, 60.0

_SET = b"set %b 0 0 100\r\n%b\r\n" % (QUEUE, b"x" * 100)
_GET = b"get %b\r\n" % QUEUE


def main(port: int, seconds: float) -> None:
    """Measure until the server ends."""
    connection = create_connection(("127.0.0.1", port), PATIENCE)
    with closing(Wire(connection)) as wire, suppress(ConnectionError):
        while True:
            print(json.dumps(window(wire, seconds)), flush=True)


def window(wire: Wire, seconds: float) -> list[float]:
    """Return how many milliseconds each command took in so many seconds."""
    took = []
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        wire.send(_SET)
        wire.line()
        stored = time.monotonic()
        wire.send(_GET)
        while wire.line() != b"END":
            pass
        got = time.monotonic()
        took += [round((stored - began) * 1e3, 2), round((got - stored) * 1e3, 2)]
        time.sleep(PAUSE)
    return took


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
