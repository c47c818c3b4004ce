"""Imports: the lines by which whole queues are brought into a running server.

Imports: memq.errors, memq.message and memq.wire's words and forms.
It never looks at a store, a clock or a connection.
"""
