"""Check the systemd units: python3 tools/check_unit.py UNIT...

Each has to pass ``systemd-analyze verify`` and be at 2.0 or better for
``systemd-analyze security``; and the system calls that a server makes, from a start to
a stop with a client in between, have to be among those that the units let through; so
have those of a front end that looks for its cluster.
That is told with strace, for a filter cannot be tried where no systemd runs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile

from testkit.systemcalls import TracedServer

#: The highest exposure, in tenths, as ``systemd-analyze security`` counts it.
EXPOSURE = 20

#: A port on which nothing listens.
NOWHERE = 1

#: The pattern of a system call's name.
CALL = "[a-z][a-z0-9_]*"


def analyze(*words: str) -> str:
    """Return what systemd-analyze prints, and end with it when that is an error."""
    done = subprocess.run(
        ["systemd-analyze", "--no-pager", *words], capture_output=True, text=True
    )
    if done.returncode or (words[0] == "verify" and done.stderr):
        sys.exit(f"systemd-analyze {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


def group(name: str) -> set[str]:
    """Return the system calls in one of systemd's groups."""
    words = [line.strip() for line in analyze("syscall-filter", name).splitlines()]
    calls = {word for word in words if re.fullmatch(CALL, word)}
    for word in words:
        if word.startswith("@") and word != name:
            calls |= group(word)
    return calls


def allowed(unit: str) -> set[str]:
    """Return the system calls that a unit lets through."""
    calls: set[str] = set()
    with open(unit, encoding="utf-8") as lines:
        for words in re.findall("^SystemCallFilter=(.*)$", lines.read(), re.MULTILINE):
            for word in words.removeprefix("~").split():
                named = group(word) if word.startswith("@") else {word}
                calls = calls - named if words.startswith("~") else calls | named
    return calls


class CountedServer(TracedServer):
    """A server whose system calls are counted, by name, in a file."""

    def __init__(self, home: str, path: str, *options: str) -> None:
        """Name the home, the file and further options."""
        super().__init__(home, path, *options)
        self._counts = path
        self.under = ("strace", "-f", "-c", "-U", "name", "-o", path)

    @property
    def pid(self) -> int:
        """The id of the server; without a home it is known as strace's only child."""
        if self.home:
            return super().pid
        assert self._process is not None
        strace = self._process.pid
        path = f"/proc/{strace}/task/{strace}/children"
        with open(path, encoding="ascii") as file:
            return int(file.read())

    def end(self) -> set[str]:
        """Stop it; return the system calls that it made."""
        if self.stop():
            sys.exit("the server did not stop in order")
        with open(self._counts, encoding="ascii") as lines:
            names = {line.strip() for line in lines} - {"syscall", "total"}
        return {name for name in names if re.fullmatch(CALL, name)}


def usedByFront(directory: str) -> set[str]:
    """Return the system calls that a front end makes, which looks for its nodes.

    It finds none; what it says to one and hears needs no other calls than clients do.
    """
    url = f"amqp://memq:memq@localhost:{NOWHERE},127.0.0.1:{NOWHERE},[::1]:{NOWHERE}/"
    options = "--store=rabbitmq", f"--rabbitmq={url}"
    server = CountedServer("", os.path.join(directory, "front"), *options)
    server.launch()
    server.waitForLine("Waiting for the cluster")
    return server.end()


def used(directory: str) -> set[str]:
    """Return the system calls that a server makes."""
    path = os.path.join(directory, "calls")
    server = CountedServer(os.path.join(directory, "home"), path)
    server.start()
    body = b"x" * 100_000
    for _ in range(30):
        server.talk(b"set q 0 0 %d\r\n%b\r\nget q\r\nquit\r\n" % (len(body), body))
    server.talk(b"db_checkpoint\r\nstats\r\nquit\r\n")
    return server.end()


def runnable(unit: str, directory: str) -> str:
    """Return the path of a copy of a unit that systemd-analyze can look at.

    It wants an instance of a template, and a command that is there.
    """
    with open(unit, encoding="utf-8") as file:
        text = file.read()
    path = os.path.join(directory, os.path.basename(unit).replace("@.", "@instance."))
    with open(path, "w", encoding="utf-8") as file:
        file.write(re.sub("^ExecStart=[^ ]+", "ExecStart=/bin/true", text, flags=re.M))
    return path


def main(units: list[str]) -> None:
    """Check units; end with the first thing that is wrong."""
    with tempfile.TemporaryDirectory() as directory:
        calls = used(directory) | usedByFront(directory)
        # A socket's service has to be beside it.
        for path in [runnable(unit, directory) for unit in units]:
            name = os.path.basename(path)
            analyze("verify", "--man=no", path)
            if name.endswith(".service"):
                analyze("security", "--offline=yes", f"--threshold={EXPOSURE}", path)
                if refused := calls - allowed(path):
                    sys.exit(f"{name} refuses {', '.join(sorted(refused))}")
            print(f"{name}: all is well")


if __name__ == "__main__":
    main(sys.argv[1:])
