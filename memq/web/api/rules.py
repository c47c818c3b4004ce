"""Rules: the tables that there are, and changes of those that were made online."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from memq.commands.rules.changes import keysTold
from memq.config.file import ruleValue
from memq.config.online import Change
from memq.config.ruletext import jsonValue
from memq.config.settings import KEYS
from memq.web.http.inputs import Input, Refused, word
from memq.web.http.routes import Route, Streamed, dumped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from memq.config.reload import Changed, PolicyReloader
    from memq.logs.audit import Audit
    from memq.policy.rules import Rules, Table
    from memq.web.http.routes import Call

#: Tables that are told in one go.
AT_ONCE = 50
#: The value of a field that is not given.
_ABSENT = object()

_PATH = "/api/v1/rules/{pattern}"


class RuleRoutes:
    """The routes of rules.

    :ivar routes: for the table.
    """

    def __init__(self, rules: PolicyReloader, audit: Audit) -> None:
        self._rules = rules
        self._audit = audit
        keys = [Input(key, partial(ruleValue, key), _ABSENT) for key in KEYS]
        only = (Input("key", word(*KEYS)),)
        self.routes = (
            Route("GET", "/api/v1/rules", self._list),
            Route("PUT", _PATH, self._put, fields=keys, acts=True),
            Route("DELETE", _PATH, self._delete, query=only, acts=True),
        )

    def _list(self, call: Call) -> Streamed:
        return Streamed(_pieces(self._rules.tables, self._rules.book.tables))

    def _put(self, call: Call) -> Deferred[dict[str, Any]]:
        values = {
            key: value for key, value in call.fields.items() if value is not _ABSENT
        }
        if not values:
            raise Refused(400, "no key is given; DELETE removes a rule")
        change = Change(call.names["pattern"], values, None)
        asked = {"values": keysTold(values)}
        return self._change(call, "rule set", change, asked)

    def _delete(self, call: Call) -> Deferred[dict[str, Any]]:
        key = call.query["key"]
        removed = None if key is None else (key,)
        change = Change(call.names["pattern"], removed=removed)
        asked = {} if key is None else {"key": key}
        return self._change(call, "rule unset", change, asked)

    def _change(
        self, call: Call, action: str, change: Change, asked: dict[str, str]
    ) -> Deferred[dict[str, Any]]:
        note = partial(self._audit.note, call.actor, action, change.name)
        done: Deferred[Any] = self._rules.change(change)
        done.addCallbacks(
            self._cbChanged,
            self._ebRefused,
            callbackArgs=(change, note, asked),
            errbackArgs=(note, asked),
        )
        return done

    def _cbChanged(
        self, changed: Changed, change: Change, note: Any, asked: dict[str, str]
    ) -> dict[str, Any]:
        old, new = changed
        if old is not None:
            asked = {**asked, "old": keysTold(old)}
        isDone = bool(change.values) or old != new
        note("OK" if isDone else "NOT_FOUND", **asked)
        if not isDone:
            raise Refused(404, "there is no such rule online")
        return {"old": old and _values(old), "new": new and _values(new)}

    def _ebRefused(self, failure: Failure, note: Any, asked: dict[str, str]) -> Failure:
        words = failure.getErrorMessage()
        note(words, error=words, **asked)
        return failure


def _values(values: Any) -> dict[str, Any]:
    return {key: jsonValue(key, value) for key, value in values.items()}


def _pieces(tables: Sequence[Table], online: Sequence[Table]) -> Iterator[bytes]:
    """Yield all tables in their order, some at a time."""
    begin = b'{"rules":['
    for isOnline, several in ((False, tables), (True, online)):
        for start in range(0, len(several), AT_ONCE):
            told = [_table(each, isOnline) for each in several[start : start + AT_ONCE]]
            yield begin + b",".join([dumped(each).rstrip() for each in told])
            begin = b","
    yield b"]}\n" if begin == b"," else begin + b"]}\n"


def _table(table: Table, isOnline: bool) -> dict[str, Any]:
    return {
        "pattern": table.name.decode(),
        "online": isOnline,
        "locked": table.locked,
        "values": _values(table.values),
        "from": {key: table.place(key) for key in table.values},
    }


def source(rules: Rules, queue: bytes, key: str) -> str:
    """Return where the value of a key of a queue's rule stands."""
    return rules.deciding(queue)[key].place(key)
