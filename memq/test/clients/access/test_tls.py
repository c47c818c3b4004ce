"""The clients that speak TLS, through the cases, while they are known."""

from __future__ import annotations

from memq.test.clients import cases
from memq.test.clients.access import users

#: Each shows a certificate, or says a password over TLS.
SECURED = (
    users.TLSEmcache,
    users.TLSAiomcache,
    users.TLSBmemcached,
    users.TLSMemcacheClient,
    users.TLSDalli,
    users.TLSMetaDalli,
)

cases.define(globals(), *SECURED, case=users.KnownCase)
