"""Costs of TLS: a durable set of 100 bytes with it and without.

`python -m bench.secured` prints instructions of a set, counted by callgrind as
bench/costs.py does, and microseconds of the processor, the median of some runs that
take turns.  The server is bench/inprocess.py; its clients have encrypted everything
before, so only its own part counts.  The handshake is timed apart, both ends of it
together.  At last memq's TLS is compared with stunnel4 before memq, see
bench/tunnels.py.
"""

from __future__ import annotations

import argparse
import ssl
import subprocess
import sys
import sysconfig
from contextlib import suppress
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Any

from bench import sections
from bench.costs import count as counted
from bench.costs import total
from bench.inprocess import REQUESTS, WARM, Server, count
from bench.measure import Load
from bench.tunnels import tunnels
from bench.workspace import ROOT, build, workspace
from memq.net.certificates import TLSSettings, load
from memq.net.tls import TLSFactory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Clients, and sets outstanding of each.
SHAPES = ((1, 1), (1, 16), (50, 1), (50, 16))
#: Sets of a run; runs.
SETS, RUNS = 8000, 5
HANDSHAKES = 200


class Client:
    """One end of TLS in memory; the server has the other.

    :ivar prepared: what it sends in each round.
    """

    def __init__(self, context: ssl.SSLContext, protocol: Any, transport: Any) -> None:
        """Make the handshake."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls, self._outgoing = context.wrap_bio(incoming, outgoing), outgoing
        self.prepared: Iterator[bytes] = iter(())
        for _ in range(2):
            with suppress(ssl.SSLWantReadError):
                self._tls.do_handshake()
            protocol.dataReceived(outgoing.read())
            incoming.write(transport.last)

    def prepare(self, request: bytes, rounds: int) -> None:
        """Encrypt what is sent in so many rounds."""
        records = []
        for _ in range(rounds):
            self._tls.write(request)
            records.append(self._outgoing.read())
        self.prepared = iter(records)


class SecureServer(Server):
    """A memq whose clients come over TLS."""

    #: How many rounds are prepared.
    rounds = WARM + 1000

    def factory(self, path: str, clock: Any) -> Any:
        """Return what makes connections, and has a certificate."""
        certificate, key = path + ".pem", path + ".key"
        issue(certificate, key)
        context = load(TLSSettings(certificate, key)).context
        wrapped = super().factory(path, clock)
        self.secured = TLSFactory(wrapped, lambda: context, clock)
        # All come at once here, and none waits.
        self.secured.handshakes.ask = lambda connection: True  # type: ignore[method-assign]
        return self.secured

    def prepare(self, request: bytes, rounds: int) -> None:
        """Let all clients encrypt what they send."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._ends = [
            Client(context, *each)
            for each in zip(self._clients, self._transports, strict=True)
        ]
        for client in self._ends:
            client.prepare(request, rounds)

    def round(self, request: bytes) -> None:
        """Let each client send what it has prepared."""
        for protocol, client in zip(self._clients, self._ends, strict=True):
            protocol.dataReceived(next(client.prepared))
        self.turn()

    def check(self, answer: bytes) -> None:
        """See that the last round was answered, in records of data."""
        super().check(b"\x17\x03\x03")


def issue(certificate: str, key: str) -> None:
    """Make the files of a certificate and of its key."""
    words = "req -x509 -nodes -subj /CN=localhost -newkey ec -pkeyopt"
    words += " ec_paramgen_curve:P-256 -addext subjectAltName=DNS:localhost"
    words += f" -keyout {key} -out {certificate}"
    subprocess.run(("openssl", *words.split()), check=True, stderr=subprocess.DEVNULL)


def secure(path: str, clients: int) -> SecureServer:
    """Return a server whose clients are prepared for sets."""
    server = SecureServer(path, clients)
    server.prepare(REQUESTS["set"], server.rounds)
    return server


def handshakes(root: Path) -> float:
    """Return the microseconds of a handshake, both ends together."""
    server = SecureServer(str(root / "handshakes"), HANDSHAKES)
    before = process_time()
    server.prepare(b"", 0)
    return (process_time() - before) / HANDSHAKES * 1e6


def microseconds(root: Path, name: str, shape: tuple[int, int], run: int) -> float:
    """Return the processor's time of a set."""
    clients, outstanding = shape
    request = REQUESTS["set"] * outstanding
    rounds = SETS // (clients * outstanding)
    path = str(root / f"{name}-{clients}-{outstanding}-{run}")
    server = {"plain": Server, "tls": SecureServer}[name](path, clients)
    if isinstance(server, SecureServer):
        server.prepare(request, rounds)
    before = process_time()
    for _ in range(rounds):
        server.round(request)
    took = process_time() - before
    server.check(b"STORED")
    return took / (rounds * clients * outstanding) * 1e6


_TEXT = """
## TLS

A durable set of 100 bytes in one process, without sockets, by `python -m
bench.secured`; and memq's TLS beside stunnel4 in front of memq, in microseconds of
the server's side.

"""


def main() -> None:
    """Count and time, and print or write."""
    parser = argparse.ArgumentParser(prog="bench.secured")
    sections.addOption(parser)
    options = parser.parse_args()
    lines = []
    with workspace(ROOT / "var") as root:
        include = f"-I{sysconfig.get_path('include')}"
        library = build(root, "frames", "-shared", "-fPIC", include)
        for clients, rounds in ((1, 40), (50, 10)):
            for name in "plain", "tls":
                program = [sys.executable, "-m", "bench.secured", name, "set"]
                program += [str(clients), str(rounds)]
                found = total(counted(program, root, library, "warm"), clients * rounds)
                told = f"{found.instructions:,.0f} instructions"
                lines.append(f"- {clients} x 1, {name}: {told}")
        for shape in SHAPES:
            runs = [
                [microseconds(root, name, shape, run) for name in ("plain", "tls")]
                for run in range(RUNS)
            ]
            plain, tls = (median(each) for each in zip(*runs, strict=True))
            shown = f"{shape[0]} x {shape[1]}"
            lines.append(f"- {shown}: {plain:.1f} us, with TLS {tls:.1f}")
        lines.append(f"- handshake, both ends: {handshakes(root):.0f} us")
        files = str(root / "certificate.pem"), str(root / "key.pem")
        issue(*files)
        compared = tunnels(Load(build(root)), root, *files)
    text = _TEXT + "\n".join(lines) + "\n\n" + compared
    sections.tell("bench.secured", text, options.write)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        count({"plain": Server, "tls": secure}[sys.argv[1]], sys.argv[2:])
    else:
        main()
