"""The file of users that memcached has: ``user:password``, a line each.

It is read as memcached's authfile.c reads it: the user ends at the first colon, the
password at the first CR or at the end of the line.  A user may have several lines; any
of these passwords will do.  memcached cuts a line that has more than 255 bytes, and
drops all that follows it, or follows the eighth line, without a word; such a file is
refused here.
"""

from __future__ import annotations

from memq.access.rights import ROLES, Rights
from memq.access.secrets import TokenHash, readPrivate
from memq.access.users import User
from memq.errors import ConfigError

#: Lines of a file, and bytes of each with its end, at most.
MOST, LONGEST = 8, 255


def readAuthFile(path: str) -> tuple[User, ...]:
    """Return the users of a file, who may do everything.

    :raise memq.errors.ConfigError: when it cannot be read, or others can, or when it is
        none; no line is shown.
    """
    data = readPrivate(path, MOST * LONGEST)
    words: dict[str, list[TokenHash]] = {}
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        # Behind the last LF there is no line.
        if line or number < len(lines):
            name, word = _entry(path, number, line)
            words.setdefault(name, []).append(word)
    return tuple(
        User(name, Rights(server=ROLES["admin"]), words=tuple(found))
        for name, found in words.items()
    )


def _entry(path: str, number: int, line: bytes) -> tuple[str, TokenHash]:
    why = None
    user, colon, password = line.partition(b":")
    if number > MOST:
        why = f"memcached takes no more than {MOST} lines"
    elif len(line) >= LONGEST:
        why = f"memcached takes no more than {LONGEST} bytes a line, its end counted"
    elif not colon or b"\0" in line:
        why = "must be user:password"
    if why is not None:
        raise ConfigError(path, number, why)
    word = TokenHash.of(password.split(b"\r")[0])
    return user.decode("utf-8", "surrogateescape"), word
