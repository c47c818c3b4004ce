"""The API: JSON over HTTP, for the page and for programs.

What is told is looked at in the broker's turns, some queues at a time, as other
clients' commands are; what changes something is one of their operations, answered when
it is durable.  docs/api.md tells every route, parameter and field.

It never reads a request: memq.web.http does, and what comes here is known and allowed.
"""
