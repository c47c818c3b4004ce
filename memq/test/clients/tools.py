"""libmemcached's command-line tools, by the names that Debian gives them."""

from __future__ import annotations

import os
import re
import subprocess
from tempfile import TemporaryDirectory
from typing import ClassVar

from memq.test.clients.client import PATIENCE, Client, Message


class Tools(Client):
    """memccp pushes, memccat pops, memcrm deletes, memcstat asks.

    memccp names a key after the file, without its directory.  memccat ends with
    status 1 when it does not find a key.
    """

    #: What every tool is told.
    options: ClassVar[tuple[str, ...]] = ()

    async def connect(self, port: int) -> None:
        """Make a place for files; each tool connects by itself."""
        self._servers = f"--servers=127.0.0.1:{port}"
        self._files = TemporaryDirectory(prefix="memq-tools-")

    async def close(self) -> None:
        """Remove the files."""
        self._files.cleanup()

    def run(self, tool: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run a tool on the server."""
        return subprocess.run(
            [tool, self._servers, *self.options, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )

    def _file(self, number: int, queue: str, body: bytes) -> str:
        """Write a message into a file for memccp, and return its path."""
        directory = os.path.join(self._files.name, str(number))
        os.makedirs(directory, exist_ok=True)
        path = os.path.join(directory, queue)
        with open(path, "wb") as file:
            file.write(body)
        return path

    async def push(self, queue: str, body: bytes, flags: int = 0) -> bool:
        """Copy a file to the server."""
        path = self._file(0, queue, body)
        return self.run("memccp", f"--flags={flags}", path).returncode == 0

    async def pushAll(self, queue: str, bodies: list[bytes]) -> None:
        """Copy many files in one go."""
        paths = [self._file(number, queue, body) for number, body in enumerate(bodies)]
        self.run("memccp", *paths).check_returncode()

    async def pop(self, queue: str) -> Message | None:
        """Have a key printed into a file: a line with its flags, then its bytes."""
        path = os.path.join(self._files.name, "found")
        if self.run("memccat", "--flags", f"--file={path}", queue).returncode != 0:
            return None
        with open(path, "rb") as file:
            return Message(int(file.readline()), file.read())

    async def popAll(self, queue: str, count: int) -> list[bytes]:
        """Have a key printed many times in one go; the messages are lines."""
        found = self.run("memccat", *[queue] * count)
        found.check_returncode()
        return found.stdout.splitlines()

    async def delete(self, queue: str) -> bool:
        """Remove a key."""
        return self.run("memcrm", queue).returncode == 0

    async def stats(self) -> dict[str, str]:
        """Ask for ``stats queue``: a line for the server, then one for each queue."""
        asked = self.run("memcstat", "queue")
        if asked.returncode != 0 or asked.stderr:
            raise AssertionError(asked.stderr.decode())
        return dict(re.findall(r"^\t(.*): (.*)$", asked.stdout.decode(), re.MULTILINE))


class BinaryTools(Tools):
    """The tools, told --binary."""

    protocol = "binary"
    options = ("--binary",)
