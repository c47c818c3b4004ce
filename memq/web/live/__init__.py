"""Live: what happens, told to viewers as server-sent events while it happens.

Imports: memq.web.history, memq.web.api, memq.web.http, memq.logs.
It never keeps anything for a viewer that does not read.
"""
