"""The API: JSON over HTTP, for the page and for programs.

docs/api.md tells every route, parameter and field.  What is told is looked at in the
broker's turns, some queues at a time, as other clients' commands are; what changes
something is one of their operations, answered when it is durable.
"""
