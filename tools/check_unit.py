"""Check the systemd units: python3 tools/check_unit.py UNIT...

Each has to pass ``systemd-analyze verify`` and be at 2.0 or better for
``systemd-analyze security``; and the system calls that a server makes, from a start to
a stop with a client in between, have to be among those that the units let through.
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

    def __init__(self, home: str, path: str) -> None:
        """Name the home, and the file."""
        super().__init__(home, path)
        self.under = ("strace", "-f", "-c", "-U", "name", "-o", path)


def used(directory: str) -> set[str]:
    """Return the system calls that a server makes."""
    path = os.path.join(directory, "calls")
    server = CountedServer(os.path.join(directory, "home"), path).start()
    body = b"x" * 100_000
    for _ in range(30):
        server.talk(b"set q 0 0 %d\r\n%b\r\nget q\r\nquit\r\n" % (len(body), body))
    server.talk(b"db_checkpoint\r\nstats\r\nquit\r\n")
    if server.stop():
        sys.exit("the server did not stop in order")
    with open(path, encoding="ascii") as lines:
        names = {line.strip() for line in lines} - {"syscall", "total"}
    return {name for name in names if re.fullmatch(CALL, name)}


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
        calls = used(directory)
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
