"""Display of foreign text, in one line and in the letters it came in, and of sizes.

Bytes that are no UTF-8 are in escapes, and so are letters that cannot be printed, for
those would break a line or drive a terminal.  No I/O, no state.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Letters of a text in quotes.
SHOWN = 60
#: What begins the text of a queue's name that is no UTF-8.
HEX = "hex:"


def shownText(text: str) -> str:
    """Return a text with escapes for what cannot be printed, line ends included."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )


def shownName(name: bytes) -> str:
    """Return the name of a queue, or other bytes that a client may have sent.

    It stands in quotes if it is empty or has a blank, which no name has.
    """
    text = shownText(name.decode("utf-8", "backslashreplace"))
    return text if text and " " not in text else f'"{text}"'


def queueLabel(name: bytes) -> str:
    """Return what stands for a queue's name in JSON; another text for each name."""
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        return HEX + name.hex()
    return HEX + name.hex() if text.startswith(HEX) else text


def shownCommand(command: Any) -> str:
    """Return a command: its word, its names, and what else it has under its name."""
    words = [type(command).__name__.lower()]
    for field, value in zip(command._fields, command, strict=True):
        if isinstance(value, bytes):
            words.append(shownName(value))
        elif isinstance(value, tuple):
            words += [
                shownName(part) if isinstance(part, bytes) else shownCommand(part)
                for part in value
            ]
        elif field == "form":
            # As it differs from the usual.
            words += shownText(str(value)).split()
        elif value is True:
            words.append(field)
        elif value is not False and value is not None:
            words.append(f"{field}={shownText(str(value))}")
    return " ".join(words)


def tomlKey(name: str) -> str:
    """Return a key as TOML has it."""
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else quoted(name)


def quoted(text: str) -> str:
    """Return a text in quotes, in one line, and no more of it than SHOWN letters."""
    short = text if len(text) <= SHOWN else text[:SHOWN] + "..."
    return json.dumps(short, ensure_ascii=not short.isprintable())


def numbered(number: int, noun: str) -> str:
    """Return a number with what is counted, whose plural ends in s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def choice(words: Iterable[str]) -> str:
    """Return words, one of which is to be chosen, as a sentence has them."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def megabytes(size: int) -> str:
    """Return a number of bytes as a person reads it."""
    return f"{size / (1 << 20):.1f} MB"
