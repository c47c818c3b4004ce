"""Settings: one table for the server, and one for the rules of queues.

SERVER has those of a server.  From it come the options of ``twistd memq``
(commandline.py), the keys of [server] in the configuration file (file.py) and most
letters of ``memcacheq`` (memcacheq/cli.py), so each allows what the others do, in the
same words.  Those that begin with WEB are keys of [web], without that.  QUEUE has those
of a queue: the keys of a [queue] table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from memq.config.cluster import parseAddress, parseManagement
from memq.config.values import (
    MEGABYTE,
    Parser,
    address,
    hostName,
    milliseconds,
    number,
    oneOf,
    permissions,
    powerOfTwo,
    queueName,
    queueOrNone,
    seconds,
    shownSeconds,
    shownWord,
    size,
    something,
    tableName,
)
from memq.policy.rule import FIELDS, MOST_OPEN, READS, WRITES, Rule

if TYPE_CHECKING:
    from collections.abc import Callable

#: The least of --max-buffered: 16 bodies of either kind, whole or in parts, can come at
#: once, and 8 can wait.
LEAST_LIMIT = 4 * MEGABYTE
#: Seconds that an option may be set to, a day, and a key of a queue, a year.
_DAY, _YEAR = 86_400, 31_536_000


class Kind(NamedTuple):
    """How a setting is given.

    :ivar types: what TOML may make of it.
    :ivar hint: what a person is told who left out the quotes, or put some.
    :ivar takesValue: whether a value follows it on the command line.
    """

    types: tuple[type, ...]
    hint: str = ""
    takesValue: bool = True


TEXT = Kind((str,), ", in quotes")
WHOLE = Kind((int,), ", without quotes")
DECIMAL = Kind((int, float), ", without quotes")
TRUTH = Kind((bool,), ", without quotes")
BYTES = Kind((int, str))
#: Each of the texts is parsed for itself; on the command line it may be repeated.
LIST = Kind((list,))
#: On the command line it is there or not; or it counts how often it is there.
FLAG = Kind((bool,), takesValue=False)
COUNT = Kind((int,), ", without quotes", takesValue=False)


class Setting(NamedTuple):
    """Something that can be set.

    :ivar name: its key in the file; behind two dashes, its option.
    :ivar kind: how it is given.
    :ivar parse: what makes the value of a text.
    :ivar letter: of its option, MemcacheQ's where it had one; None for none.
    :ivar default: its value when it is not given, as text; None for none.
    :ivar show: what makes a text of a value.
    :ivar isSecret: whether no message has its value.
    """

    name: str
    kind: Kind
    parse: Parser
    letter: str | None = None
    default: str | None = None
    show: Callable[[Any], str] = str
    isSecret: bool = False


_TRUTH = {"false": False, "true": True}
_PAUSED = {"no": 0, "reads": READS, "writes": WRITES, "both": READS | WRITES}
_OVERFLOW = {"reject": False, "drop-oldest": True}
_ACTIONS = {"never": "never", "users": "users", "anyone": "anyone"}
_STORES = {"bdb": "bdb", "memory": "memory", "rabbitmq": "rabbitmq"}
_FORMATS = {"text": "text", "json": "json"}
_PATH = something("a path")
_ADDRESS = something("an address or the name of one")


def _flag(name: str, letter: str | None = None) -> Setting:
    parse = oneOf({"true": True, "false": False})
    show = {True: "yes", False: "no"}.__getitem__
    return Setting(name, FLAG, parse, letter, "false", show)


def _time(name: str, letter: str | None, default: str) -> Setting:
    return Setting(name, DECIMAL, seconds(_DAY), letter, default, "{:g}".format)


#: Settings of a server, in the order of --help and of ``stats settings``.
SERVER = (
    Setting("config", TEXT, _PATH),
    Setting("port", WHOLE, number(0, 65535), "p", "22201"),
    Setting("listen", TEXT, _ADDRESS, "l", "127.0.0.1"),
    Setting("socket", TEXT, _PATH, "s"),
    Setting("socket-mode", TEXT, permissions, "a", "0700", "{:04o}".format),
    Setting("max-connections", WHOLE, number(1, 1_000_000), "c", "1024"),
    Setting("home", TEXT, _PATH, "H", "/var/lib/memq"),
    Setting("store", TEXT, oneOf(_STORES), None, "bdb"),
    Setting("rabbitmq", TEXT, parseAddress, isSecret=True),
    Setting("rabbitmq-password-file", TEXT, _PATH),
    Setting("rabbitmq-ca", TEXT, _PATH),
    Setting("rabbitmq-management", TEXT, parseManagement, show=",".join),
    Setting("store-timeout", WHOLE, number(1, 60), None, "5"),
    _flag("accept-mnesia"),
    Setting("cache-size", BYTES, size(1, 1_000_000, MEGABYTE), "m", "64"),
    Setting("log-buffer", BYTES, size(1, 16384, 1024), "L", "1024"),
    Setting("page-size", BYTES, powerOfTwo(512, 65536), "A", "4096"),
    Setting("max-body", BYTES, size(1, 64 * MEGABYTE), "B", "1M"),
    Setting("max-buffered", BYTES, size(LEAST_LIMIT, 1 << 40), None, "256M"),
    _time("body-timeout", None, "60"),
    _time("idle-timeout", None, "0"),
    Setting("keepalive", WHOLE, number(0, 32767), None, "60"),
    Setting("min-free", BYTES, size(0, 1 << 40)),
    _time("checkpoint", "C", "300"),
    _time("trickle", "T", "0.5"),
    Setting("trickle-percent", WHOLE, number(0, 100), "e", "60"),
    _flag("no-config"),
    _flag("no-sync", "N"),
    _flag("auto-remove-logs", "R"),
    _flag("keep-logs"),
    _flag("enable-flush-all"),
    _flag("no-queue-stats"),
    _flag("skip-damaged"),
    _flag("log-stderr"),
    Setting("log-format", TEXT, oneOf(_FORMATS), None, "text"),
    Setting("audit-log", TEXT, _PATH),
    Setting("users", TEXT, _PATH),
    Setting("auth-file", TEXT, _PATH, "Y"),
    _time("slow", None, "0.5"),
    Setting("verbose", COUNT, number(0, 2), "v", "0"),
    Setting("endpoint", LIST, str),
    Setting("web-listen", TEXT, address, None, "127.0.0.1:22280"),
    Setting("web-metrics-listen", TEXT, address, None, ""),
    Setting("web-hosts", LIST, hostName),
    Setting("web-queue-metrics", LIST, tableName, None, "*", bytes.decode),
    Setting("web-queue-metrics-max", WHOLE, number(0, 1_000_000), None, "1000"),
    Setting("web-actions", TEXT, oneOf(_ACTIONS), None, "users"),
    _flag("web-bodies"),
    _flag("web-tls"),
)
#: How the names of settings begin that stand in [web].
WEB = "web-"

#: Their --help; the default is added.
HELP = {
    "config": "configuration file [default: /etc/memq/memq.toml when it is there]",
    "port": "TCP port; 0 takes a free one",
    "listen": "address to listen on; 0.0.0.0 or :: for all of this machine's",
    "socket": "path of a UNIX socket, instead of TCP unless --port is given as well",
    "socket-mode": "its permissions, in octal",
    "max-connections": "most clients at once; the next one is told so and closed",
    "home": "directory of the data",
    "store": "where messages are: bdb, in the home; memory, which keeps nothing; "
    "rabbitmq, on a cluster",
    "rabbitmq": "the cluster: amqp://USER:PASSWORD@HOST:PORT,HOST:PORT/NAME, or amqps:",
    "rabbitmq-password-file": "file with the user's password, instead of one there",
    "rabbitmq-ca": "file with the authorities that amqps: believes, instead of the "
    "system's",
    "rabbitmq-management": "where its nodes have the management API: "
    "http://HOST:PORT,... [default: on each node, 10000 above AMQP's port]",
    "store-timeout": "seconds within which the cluster is to answer a command, 1 to 60",
    "accept-mnesia": "take a cluster without Khepri, which can lose messages when a "
    "node stands still",
    "cache-size": "page cache, in megabytes (or with K, M, G, T)",
    "log-buffer": "transaction log buffer, in KB (or with K, M, G, T)",
    "page-size": "bytes of a page, for a new home; above 4096 a power cut can tear "
    "them",
    "max-body": "largest message, in bytes (K, M, G, T), up to 64M",
    "max-buffered": "memory for bodies and replies under way, of all clients, in bytes "
    "(K, M, G, T)",
    "body-timeout": "seconds without a byte after which a body is given up; 0 = off",
    "idle-timeout": "seconds of silence after which a client is closed; 0 = off",
    "keepalive": "seconds after which a client whose machine vanished is cut off; 0 = "
    "the system's",
    "min-free": "free disk space in bytes (K, M, G, T) below which sets are refused, "
    "0 = never; when not given, it fits the file system",
    "checkpoint": "seconds between checkpoints; 0 = off",
    "trickle": "seconds between writing changed pages ahead; 0 = off",
    "trickle-percent": "percent of the cache kept clean",
    "no-config": "read no configuration file",
    "no-sync": "faster: a power cut may cost the last second",
    "auto-remove-logs": "remove log files that are done with (the default)",
    "keep-logs": "keep them, whatever else is said",
    "enable-flush-all": "let clients empty all queues with flush_all",
    "no-queue-stats": "tell nothing of each queue in stats",
    "skip-damaged": "start with what can be read of a damaged home, and list what "
    "could not",
    "log-stderr": "log to standard error, as a daemon too",
    "log-format": "of a line of the log: text, or json, an object a line",
    "audit-log": "file for a line about each thing that somebody does that manages "
    "queues or the server; the log has it anyway",
    "users": "file with [user.NAME] tables [default: users.toml beside the "
    "configuration file, when it is there]",
    "auth-file": "memcached's file of users and passwords; these may do all",
    "slow": "seconds after which a command is logged as slow; 0 = off",
    "web-listen": "address and port for HTTP, or unix:PATH; an empty one for none",
    "web-metrics-listen": "another one, which has metrics and health only",
    "web-queue-metrics-max": "most queues that metrics tell one by one; of more, none",
    "web-actions": "who may change something over HTTP: users that have the right, "
    "never, or anyone, also without users",
    "web-bodies": "tell bodies of messages over HTTP",
    "web-tls": "serve HTTP over TLS, as [tls] in the configuration file says",
}


def _shownMilliseconds(value: int) -> str:
    return shownSeconds(value / 1000)


def _shownNames(names: tuple[bytes, ...]) -> str:
    return b",".join(names).decode()


#: Settings of a queue, in the order of FIELDS.
QUEUE = (
    Setting("max_items", WHOLE, number(0, 9_999_999_999)),
    Setting("max_bytes", BYTES, size(0, 1 << 40)),
    Setting("overflow", TEXT, oneOf(_OVERFLOW), show=shownWord(_OVERFLOW)),
    Setting("max_age", DECIMAL, milliseconds(_YEAR), show=_shownMilliseconds),
    Setting("honor_exptime", TRUTH, oneOf(_TRUTH), show=shownWord(_TRUTH)),
    Setting("open_timeout", DECIMAL, seconds(_YEAR), show=shownSeconds),
    Setting("max_open", WHOLE, number(0, MOST_OPEN)),
    Setting("max_deliveries", WHOLE, number(0, 1_000_000)),
    Setting("dead_letter", TEXT, queueOrNone, show=bytes.decode),
    Setting("expired_to", TEXT, queueOrNone, show=bytes.decode),
    Setting("fanout", LIST, queueName, show=_shownNames),
    Setting("fanout_only", TRUTH, oneOf(_TRUTH), show=shownWord(_TRUTH)),
    Setting("paused", TEXT, oneOf(_PAUSED), show=shownWord(_PAUSED)),
    Setting("remove_when_idle", DECIMAL, seconds(_YEAR), show=shownSeconds),
)

#: What else a [queue] table of the configuration file may have.
LOCKED = Setting("locked", TRUTH, oneOf(_TRUTH), show=shownWord(_TRUTH))

OPTIONS = {setting.name: setting for setting in SERVER}
KEYS = {setting.name: setting for setting in QUEUE}


def shownValue(key: str, value: Any) -> str:
    """Return the value of a key of a rule as text; "" for none."""
    return KEYS[key].show(value) if value is not None else ""


def inForce(rule: Rule) -> list[tuple[str, str]]:
    """Return the keys that say what a rule has, with their values as text."""
    values = {name: getattr(rule, field) for name, field in FIELDS.items()}
    return [
        (name, KEYS[name].show(value))
        for name, value in values.items()
        if value != Rule._field_defaults[FIELDS[name]]
    ]
