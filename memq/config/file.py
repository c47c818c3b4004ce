"""The configuration file: options of the server, and rules of its queues.

It is TOML.  [server] has the options of the command line under their long names:
those that take a value, flags as true or false, ``verbose`` as a number, ``endpoint``
as a list.  [web] has those that begin so, without that.  [queue."NAME"] has the keys of
a rule, for a queue or for all that a pattern matches, and perhaps ``locked``.  Both are
tables of settings.py; the command line goes before the file, see commandline.py.
[[listen]] and [tls] are in listening.py.  [user.NAME] is for memq.access, which knows
what it means; here it is only kept.

A file is taken as a whole or not at all; each mistake is one line that has the file's
line (toml.py).
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.config.listening import checkTLS, readListens, readTLS
from memq.config.settings import KEYS, LIST, LOCKED, OPTIONS, WEB, Setting
from memq.config.toml import TOMLFile, keyLines, shown
from memq.config.values import tableName
from memq.display import tomlKey
from memq.policy.rules import RuleError, Rules, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from memq.config.listening import Listen
    from memq.config.toml import Key
    from memq.net.certificates import TLSSettings

#: The file that is read when none is named, if it is there.
DEFAULT = "/etc/memq/memq.toml"

#: Names that stand on the command line only.
_ELSEWHERE = {"config", "no-config", "help", "version"}
#: Every name that [server] may have.
NAMES = sorted(name for name in set(OPTIONS) - _ELSEWHERE if not name.startswith(WEB))
#: And every name that [web] may have.
WEB_NAMES = sorted(name.removeprefix(WEB) for name in OPTIONS if name.startswith(WEB))
#: The tables of a file.
_TABLES = ("server", "web", "queue", "listen", "tls", "user")
_THERE = '[server], [web], [queue."NAME"], [[listen]], [tls] and [user.NAME]'


class UnknownName(ValueError):
    """A key that there is not."""


class UserTables(NamedTuple):
    """What a file has below ``user``, and the file."""

    file: TOMLFile
    tables: Any


class Config(NamedTuple):
    """The contents of a configuration file.

    :ivar path: where it is, absolute; None when none was read.
    :ivar server: the options that stand in [server] and [web], under the names that
        they have on the command line, with the values that it would give them.
    :ivar queues: the [queue] tables in their order; they go together.
    :ivar listens: the [[listen]] tables in their order.
    :ivar tls: what [tls] says, None for nothing.
    :ivar users: the [user] tables, as TOML has them; None for none.
    """

    path: str | None = None
    server: Mapping[str, Any] = MappingProxyType({})
    queues: tuple[Table, ...] = ()
    listens: tuple[Listen, ...] = ()
    tls: TLSSettings | None = None
    users: UserTables | None = None


def findConfig(path: str | None) -> Config:
    """Return what the file at ``path`` says, or the one at DEFAULT, if it is there.

    :param path: None for the latter; an empty Config is returned if it is not there.
    :raise memq.errors.ConfigError: when the file cannot be read, or be taken as it is.
    """
    if path is None:
        path = DEFAULT
        try:
            os.lstat(path)
        except FileNotFoundError:
            return Config()
        except OSError:
            pass  # Perhaps it is there: reading it tells why it cannot be read.
    return readConfig(path)


def readConfig(path: str) -> Config:
    """Return what a file says; raise ConfigError when it cannot be taken as it is."""
    file = TOMLFile.read(path)
    tables = file.parse()
    for name, value in tables.items():
        if name not in _TABLES:
            why = "is not known here; "
            if isinstance(value, dict):
                why += f"there are {_THERE}"
                file.refuse(f"[{tomlKey(name)}]", why, name)
            why += "options stand below [server]"
            file.refuse(f"{tomlKey(name)} = {_unknown(value)}", why, name)
    server = _table(file, tables, "server", _value)
    web = _table(file, tables, "web", _webValue)
    values = MappingProxyType({**server, **{WEB + name: web[name] for name in web}})
    queues = queueTables(file, tables.get("queue", {}))
    try:
        Rules(queues).check()
    except RuleError as error:
        name = error.table.name.decode()
        what = f"{error.key} = {shown(tables['queue'][name][error.key])}"
        file.refuse(what, str(error), "queue", name, error.key)
    config = Config(os.path.abspath(path), values, queues)
    return _withAccess(file, tables, config)


def _withAccess(file: TOMLFile, tables: Mapping[str, Any], config: Config) -> Config:
    """Return what a file says, with listeners, TLS and users."""

    def made(settings: Mapping[str, Setting], table: Any, keys: tuple[Key, ...]) -> Any:
        def value(name: str, value: Any) -> Any:
            if name not in settings:
                raise UnknownName(f"is no key; {_nearest(name, list(settings))}")
            return _parse(settings[name], value)

        return _values(file, table, value, *keys)

    listens = readListens(file, tables.get("listen", []), made)
    tls = readTLS(file, tables.get("tls", {}), made)
    checkTLS(file, listens, tls)
    if tls is None and config.server.get("web-tls"):
        why = "needs a table [tls] with certificate and key"
        file.refuse("tls = true", why, "web", "tls")
    users = UserTables(file, tables["user"]) if tables.get("user", {}) != {} else None
    return config._replace(listens=listens, tls=tls, users=users)


def _table(
    file: TOMLFile,
    tables: Mapping[str, Any],
    name: str,
    parse: Callable[[str, Any], Any],
) -> Mapping[str, Any]:
    """Return what the keys of a table say that there is once."""
    table = tables.get(name, {})
    if not isinstance(table, dict):
        file.refuse(f"{name} = {shown(table)}", "must be one table", name)
    return _values(file, table, parse, name)


def _values(
    file: TOMLFile,
    table: dict[str, Any],
    parse: Callable[[str, Any], Any],
    *keys: Key,
) -> Mapping[str, Any]:
    """Return what the keys of a table say, whose place ``keys`` tell.

    :param parse: makes the value of a key's name and what TOML has made of it.
    """
    values = {}
    for name, value in table.items():
        try:
            values[name] = parse(name, value)
        except UnknownName as error:
            what = f"{tomlKey(name)} = {_unknown(value)}"
            file.refuse(what, str(error), *keys, name)
        except ValueError as error:
            isSecret = name in OPTIONS and OPTIONS[name].isSecret
            what = f"{tomlKey(name)} = {'...' if isSecret else shown(value)}"
            file.refuse(what, str(error), *keys, name)
    return MappingProxyType(values)


def queueTables(
    file: TOMLFile, tables: Any, parse: Callable[[str, Any], Any] | None = None
) -> tuple[Table, ...]:
    """Return the [queue] tables of a file, each for itself as it should be.

    :param parse: makes the value of a key; None for those of the configuration file.
    :raise memq.errors.ConfigError: when one is not.
    """
    if not isinstance(tables, dict):
        why = 'must be tables, [queue."NAME"]'
        file.refuse(f"queue = {shown(tables)}", why, "queue")
    lines = keyLines(file.text, "queue") if tables else {}
    path = os.path.abspath(file.path)
    found = []
    for name, table in tables.items():
        if not isinstance(table, dict):
            why = 'must stand below [queue."NAME"]'
            file.refuse(f"{tomlKey(name)} = {shown(table)}", why, "queue", name)
        try:
            named = tableName(name)
        except ValueError as error:
            file.refuse(f"[queue.{tomlKey(name)}]", str(error), "queue", name)
        values = dict(_values(file, table, parse or _fileValue, "queue", name))
        locked = values.pop(LOCKED.name, False)
        places = tuple(lines[name][key] for key in values)
        found.append(Table(named, MappingProxyType(values), path, places, locked))
    return tuple(found)


def _value(name: str, value: Any) -> Any:
    if name in _ELSEWHERE:
        raise ValueError("can be given on the command line only")
    if name in OPTIONS:
        if name.startswith(WEB):
            raise ValueError(f"is {name.removeprefix(WEB)} below [web]")
        return _parse(OPTIONS[name], value)
    raise UnknownName(f"is no option; {_nearest(name, NAMES)}")


def _webValue(name: str, value: Any) -> Any:
    if name in WEB_NAMES:
        return _parse(OPTIONS[WEB + name], value)
    raise UnknownName(f"is no option; {_nearest(name, WEB_NAMES)}")


def _fileValue(name: str, value: Any) -> Any:
    return _parse(LOCKED, value) if name == LOCKED.name else ruleValue(name, value)


def ruleValue(name: str, value: Any) -> Any:
    """Return the value of a key of a rule, of what TOML has made of it.

    :raise ValueError: when there is no such key, or it cannot have that value.
    """
    if name in KEYS:
        return _parse(KEYS[name], value)
    if name == LOCKED.name:
        raise ValueError("stands in the configuration file only")
    underscored = name.replace("-", "_")
    if underscored in KEYS:
        raise ValueError(f"is written {underscored} here")
    if isinstance(value, dict):
        raise ValueError(
            'is no key; a name with a dot stands in quotes, as in [queue."a.b"]'
        )
    raise ValueError(f"is no key; {_nearest(name, list(KEYS))}")


def _unknown(value: Any) -> str:
    """Return a value of what is not known: a text may be a secret in a wrong place."""
    return "..." if isinstance(value, str) else shown(value)


def _nearest(name: str, names: list[str]) -> str:
    """Return what there is in the place of a name that there is not."""
    near = get_close_matches(name, names, 1)
    return f"the nearest is {near[0]}" if near else f"there are {', '.join(names)}"


def _parse(setting: Setting, value: Any) -> Any:
    isText = isinstance(value, str)
    if setting.kind is LIST:
        if type(value) is list and all(type(each) is str for each in value):
            return tuple(map(setting.parse, value))
        raise ValueError("must be a list of texts in quotes, [...]")
    if type(value) in setting.kind.types:
        return setting.parse(value if isText else shown(value))
    isQuoted = str in setting.kind.types
    hint = "" if isText == isQuoted else setting.kind.hint
    try:
        # No setting allows this, so its words are had.
        return setting.parse("\0")
    except ValueError as error:
        raise ValueError(f"{error}{hint}") from None
