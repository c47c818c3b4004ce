"""Start, reload or stop a unit where no systemd runs, as systemd would.

    python3 unit.py start|reload|stop UNIT

What it knows of a unit is what those of memq need: User, Environment, EnvironmentFile,
ExecStart, ExecReload, StateDirectory, LogsDirectory, UMask, and Type=notify: ``start``
returns when the service says READY=1.  The output is in /run/UNIT.log, the process id
in /run/UNIT.pid.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

UNITS = "/lib/systemd/system"
#: Seconds that a start or a stop may take.
PATIENCE = 60


def readUnit(name: str) -> dict[str, str]:
    """Return the last of each setting of a unit, the instance's name filled in."""
    stem, _, instance = name.removesuffix(".service").partition("@")
    file = f"{stem}@.service" if instance else name
    with open(os.path.join(UNITS, file), encoding="utf-8") as lines:
        settings = [line.rstrip("\n").partition("=") for line in lines if "=" in line]
    return {key: value.replace("%i", instance) for key, _, value in settings}


def readEnvironment(path: str) -> dict[str, str]:
    """Return what an EnvironmentFile sets; nothing when it may be missing, and is."""
    if path.startswith("-") and not os.path.exists(path[1:]):
        return {}
    with open(path.removeprefix("-"), encoding="utf-8") as lines:
        words = [shlex.split(line, comments=True) for line in lines]
    return dict(word.split("=", 1) for line in words for word in line)


def commandLine(line: str, variables: dict[str, str]) -> list[str]:
    """Return the words of a command: $NAME is as many as it has, ${NAME} is one."""
    words: list[str] = []
    for word in shlex.split(line):
        if re.fullmatch(r"\$\w+", word):
            words += shlex.split(variables.get(word[1:], ""))
        else:
            words.append(
                re.sub(r"\$\{(\w+)\}", lambda found: variables[found[1]], word)
            )
    return words


def makeDirectory(path: str, mode: str, owner: pwd.struct_passwd) -> None:
    """Make a directory of the service's."""
    os.makedirs(path, exist_ok=True)
    os.chown(path, owner.pw_uid, owner.pw_gid)
    os.chmod(path, int(mode, 8))


def start(name: str) -> None:
    """Start a unit, and wait until it is ready."""
    unit = readUnit(name)
    owner = pwd.getpwnam(unit["User"])
    for base, kind in (("/var/lib", "State"), ("/var/log", "Logs")):
        path = os.path.join(base, unit[f"{kind}Directory"])
        makeDirectory(path, unit[f"{kind}DirectoryMode"], owner)
    set_ = shlex.split(unit.get("Environment", ""))
    variables = dict(word.split("=", 1) for word in set_)
    variables |= readEnvironment(unit["EnvironmentFile"])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(f"\0{name}.{os.getpid()}")
        with open(f"/run/{name}.log", "ab") as output:
            process = subprocess.Popen(
                commandLine(unit["ExecStart"], variables),
                cwd="/",
                env={
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                    "NOTIFY_SOCKET": f"@{name}.{os.getpid()}",
                    **variables,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=owner.pw_uid,
                group=owner.pw_gid,
                extra_groups=[],
                umask=int(unit["UMask"], 8),
                start_new_session=True,
            )
        with open(f"/run/{name}.pid", "w", encoding="ascii") as file:
            file.write(str(process.pid))
        awaitReady(notify, process)
    print(f"{name} is ready")


def awaitReady(notify: socket.socket, process: subprocess.Popen[bytes]) -> None:
    """Wait until a service says that it is ready."""
    notify.settimeout(0.1)
    late = time.monotonic() + PATIENCE
    while time.monotonic() < late and process.poll() is None:
        with suppress(TimeoutError):
            if b"READY=1" in notify.recv(4096).split(b"\n"):
                return
    sys.exit(f"not ready; exit status {process.poll()}")


def mainPid(name: str) -> int:
    """Return the process of a unit."""
    with open(f"/run/{name}.pid", encoding="ascii") as file:
        return int(file.read())


def reload(name: str) -> None:
    """Do what ExecReload says."""
    command = readUnit(name)["ExecReload"]
    words = commandLine(command, {"MAINPID": str(mainPid(name))})
    subprocess.run(words, check=True)


def isRunning(pid: int) -> bool:
    """Return whether a process runs, and is not just waited for by nobody."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def stop(name: str) -> None:
    """Stop a unit, and wait until it has ended in order."""
    pid = mainPid(name)
    os.kill(pid, signal.SIGTERM)
    late = time.monotonic() + PATIENCE
    while isRunning(pid):
        if time.monotonic() > late:
            sys.exit(f"{name} does not stop")
        time.sleep(0.05)
    with open(f"/run/{name}.log", encoding="utf-8") as log:
        if not any("Stopped" in line for line in log.readlines()[-4:]):
            sys.exit(f"{name} did not stop in order")
    print(f"{name} has stopped")


if __name__ == "__main__":
    {"start": start, "reload": reload, "stop": stop}[sys.argv[1]](sys.argv[2])
