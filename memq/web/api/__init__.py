"""The API: JSON over HTTP, for the page and for programs; docs/api.md tells it all.

What is told is looked at in the broker's turns, some queues at a time; what changes
something is an operation as a command's, answered when it is durable.
It never reads a request: memq.web.http does, and what comes here is allowed.
"""
