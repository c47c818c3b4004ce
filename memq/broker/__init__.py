"""The scheduler: turns, group commit, readers that wait, background tasks.

Imports: memq.operations, memq.policy and what those import.
Everything in it runs in the reactor's thread.
It never parses a command and never formats a reply.
"""
