"""Guard: whether a request was made by a page of another site.

A browser says on each request which site asks for it: by ``Sec-Fetch-Site``, or, where
it does not send that (an older one, or a page over plain HTTP), by ``Origin``, which
then has to be the host that the request is for.  Neither is of a browser's making when
both are absent, and a program is no page that somebody was lured to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted.web.http_headers import Headers

#: What ``Sec-Fetch-Site`` says of a page of this site, and of what a person typed.
_OWN = (b"same-origin", b"none")


def isForeign(headers: Headers) -> bool:
    """Return whether a page of another site asks, by the headers of a request."""
    sites = headers.getRawHeaders(b"sec-fetch-site", [])
    if sites:
        return any(site.strip() not in _OWN for site in sites)
    host = b"".join(headers.getRawHeaders(b"host", [])).lower()
    for origin in headers.getRawHeaders(b"origin", []):
        _, isThere, asking = origin.strip().lower().partition(b"://")
        if not isThere or asking != host:
            return True
    return False


def isJson(headers: Headers) -> bool:
    """Return whether a request says that its body is JSON."""
    types = headers.getRawHeaders(b"content-type", [])
    return [each.partition(b";")[0].strip().lower() for each in types] == [
        b"application/json"
    ]
