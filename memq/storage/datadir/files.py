"""Small files that have to be whole and on disk, whatever happens."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def readFile(path: str, most: int) -> bytes | None:
    """Return what stands in a file of a line, without what is white around it.

    :return: None when there is no such file.
    """
    try:
        with open(path, "rb") as file:
            return file.read(most).strip()
    except FileNotFoundError:
        return None


def replaceFile(
    path: str,
    content: bytes,
    check: Callable[[str, bytes], object] = lambda path, content: None,
) -> None:
    """Put ``content`` into a file, as a whole or not at all, and sync it.

    A crash leaves the old content or the new one.

    :param check: is called with the path of the new file before it gets its name, and
        with the content; raises OSError when it is not to have it.
    :raise OSError: when there is no room, or the disk fails; the old one stays.
    """
    beside = path + ".new"
    with open(beside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    check(beside, content)
    os.replace(beside, path)
    syncDirectory(os.path.dirname(path))


def overwriteFile(path: str, content: bytes) -> bool:
    """Write ``content`` over a file of the same size, and sync it; no room is needed.

    A crash leaves the old content or the new one, if it is one sector of a disk.

    :param content: at most 512 bytes.
    :return: False when the file is not there, or not of that size: nothing is done.
    :raise OSError: when the disk fails.
    """
    try:
        file = os.open(path, os.O_WRONLY)
    except FileNotFoundError:
        return False
    try:
        if os.fstat(file).st_size != len(content):
            return False
        os.pwrite(file, content, 0)
        os.fdatasync(file)
    finally:
        os.close(file)
    return True


def syncDirectory(path: str) -> None:
    """Make durable which files a directory has.

    :raise OSError: when the disk fails.
    """
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def syncFile(path: str) -> None:
    """Make durable what was written to a file, by whomever; no-op when it is gone.

    :raise OSError: when there is no room, or the disk fails.
    """
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fdatasync(file)
    finally:
        os.close(file)
