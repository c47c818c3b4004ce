"""A disk that fails when told to: a library between a server and its system calls.

A file of rules says what fails: ``OPERATION PREFIX ERRNO TIMES``, where the operation
is sync, write or read, the prefix is that of a file's name, and 0 times is for ever.
Without the file, or with an empty one, nothing fails.
"""

from __future__ import annotations

import os
import subprocess

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static int failed;

static int fails(const char *operation, int file)
{
    char rule[200], what[20], prefix[100], link[40], path[4096], *name;
    const char *rules = getenv("MEMQ_FAULT");
    int number, times, rulesFile, before = errno;
    ssize_t size;

    rulesFile = rules ? open(rules, O_RDONLY | O_CLOEXEC) : -1;
    errno = before;
    if (rulesFile < 0)
        return 0;
    size = syscall(SYS_read, rulesFile, rule, sizeof rule - 1);
    close(rulesFile);
    rule[size < 0 ? 0 : size] = 0;
    if (sscanf(rule, "%19s %99s %d %d", what, prefix, &number, &times) != 4
        || strcmp(what, operation))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    size = readlink(link, path, sizeof path - 1);
    errno = before;
    if (size < 0)
        return 0;
    path[size] = 0;
    name = strrchr(path, '/');
    if (!name || strncmp(name + 1, prefix, strlen(prefix)))
        return 0;
    if (times && __sync_add_and_fetch(&failed, 1) > times)
        return 0;
    errno = number;
    return 1;
}

/* A function of one or more arguments, the first of which is the file. */
#define FAILS(what, type, name, parameters, ...) \
    type name parameters \
    { \
        type (*real) parameters = (type (*) parameters)dlsym(RTLD_NEXT, #name); \
        return fails(what, file) ? -1 : real(__VA_ARGS__); \
    }
#define DATA (int file, const void *data, size_t size)
#define AT (int file, void *data, size_t size, off_t place)
#define FROM (int file, const void *data, size_t size, off_t place)

FAILS("sync", int, fsync, (int file), file)
FAILS("sync", int, fdatasync, (int file), file)
FAILS("write", ssize_t, write, DATA, file, data, size)
FAILS("write", ssize_t, pwrite, FROM, file, data, size, place)
FAILS("write", ssize_t, pwrite64, FROM, file, data, size, place)
FAILS("read", ssize_t, read, (int file, void *data, size_t size), file, data, size)
FAILS("read", ssize_t, pread, AT, file, data, size, place)
FAILS("read", ssize_t, pread64, AT, file, data, size, place)
"""


class FaultyDisk:
    """One such library, and its rules.

    :ivar before: what a server runs first (see ``Server``), to have it in between.
    """

    def __init__(self, directory: str) -> None:
        """Compile it in a directory that is there; no rules are given yet."""
        directory = os.path.abspath(directory)
        source = os.path.join(directory, "faulty.c")
        library = os.path.join(directory, "faulty.so")
        self._rules = os.path.join(directory, "rules")
        with open(source, "w", encoding="ascii") as file:
            file.write(_SOURCE)
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"]
        subprocess.run(command, check=True)
        self.before = (
            "import os, sys\n"
            "if 'MEMQ_FAULT' not in os.environ:\n"
            f"    os.environ['MEMQ_FAULT'] = {self._rules!r}\n"
            f"    os.environ['LD_PRELOAD'] = {library!r}\n"
            "    os.execv(sys.executable, sys.orig_argv)\n"
        )

    def fail(self, operation: str, prefix: str, number: int, times: int = 0) -> None:
        """Let an operation fail on files whose names begin so.

        :param number: the error, of errno.
        :param times: how often, 0 for always.
        """
        beside = self._rules + ".new"
        with open(beside, "w", encoding="ascii") as file:
            file.write(f"{operation} {prefix} {number} {times}\n")
        os.rename(beside, self._rules)
