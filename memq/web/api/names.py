"""Names of queues in JSON and in paths.

A name is text; one that is not UTF-8, or begins with ``hex:``, is ``hex:`` and its
bytes in hexadecimal.  So each text is one name, and each name has one text.
"""

from __future__ import annotations

from memq.display import HEX, queueLabel
from memq.wire.words import isName

#: What is allowed, after the name of a field.
_ALLOWED = (
    "must be the name of a queue: 1 to 250 bytes, no space, no control character and "
    "no /, or hex: and the bytes of any other name"
)

#: Returns the text of a name.
shown = queueLabel


def named(text: bytes) -> bytes:
    """Return the name that a piece of a path stands for.

    :raise ValueError: when it is none.
    """
    name = text
    if text.startswith(HEX.encode()):
        try:
            name = bytes.fromhex(text[len(HEX) :].decode("ascii"))
        except ValueError:
            raise ValueError(_ALLOWED) from None
    if isName(name):
        return name
    raise ValueError(_ALLOWED)


def namedField(value: object) -> bytes:
    """Return the name that a field has."""
    try:
        return named(value.encode() if isinstance(value, str) else b"")
    except UnicodeEncodeError:
        raise ValueError(_ALLOWED) from None
