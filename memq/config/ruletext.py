"""Rules as text: as TOML has them, and as words of a line.

A word is the value without quotes, as on a command line, or as TOML has it, which is
for what cannot be told else: ``""`` for no queue, a list in brackets, a name with a
comma in a list.  What is made here is read as what it was made of.
"""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

from memq.config.file import ruleValue
from memq.config.settings import KEYS, LIST, TEXT, shownValue
from memq.config.values import tableName

if TYPE_CHECKING:
    from memq.policy.rules import Table


def _string(text: str) -> str:
    # No name has a control character, and of those only DEL is as it is in JSON.
    return json.dumps(text, ensure_ascii=False)


def tomlValue(key: str, value: Any) -> str:
    """Return the value of a key as it stands in a file, without blanks."""
    setting = KEYS[key]
    if setting.kind is LIST:
        return f"[{','.join(_string(each.decode()) for each in value)}]"
    if isinstance(value, float):
        return repr(value)
    text = shownValue(key, value)
    return _string(text) if setting.kind is TEXT else text


def jsonValue(key: str, value: Any) -> Any:
    """Return the value of a key as JSON has it: as TOML, but for a size in letters."""
    return json.loads(tomlValue(key, value))


def tableText(table: Table) -> bytes:
    """Return a table as it stands in a file; it begins with the line of its name."""
    lines = [f"[queue.{_string(table.name.decode())}]"]
    lines += [f"{key} = {tomlValue(key, table.values[key])}" for key in table.values]
    return "\n".join([*lines, "", ""]).encode()


def word(key: str, value: Any) -> str:
    """Return the value of a key as a word of a line."""
    text = tomlValue(key, value)
    if KEYS[key].kind is LIST:
        names = [each.decode() for each in value]
        # Else a comma, a quotation mark or a bracket would be taken for TOML's.
        isPlain = names and not any("," in each for each in names)
        plain = ",".join(names) if isPlain else ""
    else:
        plain = shownValue(key, value) if KEYS[key].kind is TEXT else ""
    if not plain or plain[0] in '["':
        return text.removesuffix(".0")
    return plain


def readWord(key: str, text: str) -> Any:
    """Return the value of a key, of a word without blanks.

    :raise ValueError: when there is no such key, or it cannot have that value.
    """
    setting = KEYS.get(key)
    if setting is None:
        return ruleValue(key, text)
    if text[0] in '["':
        return ruleValue(key, _tomlRead(text))
    if setting.kind is LIST:
        return ruleValue(key, text.split(","))
    return setting.parse(text)


def _tomlRead(text: str) -> Any:
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        raise ValueError("is not TOML") from None
    # A word has no end of a line, in which another key could stand.
    return found["value"]


def readName(name: bytes) -> bytes:
    """Return the name of a table; raise ValueError when it can be none."""
    try:
        return tableName(name.decode())
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8; a pattern has ? for any byte") from None
