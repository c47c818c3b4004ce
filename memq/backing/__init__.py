"""Backings: what a server can keep its queues in, each put together as one object.

:mod:`memq.backing.ways` says what the rest of a server asks of one.  Nothing else knows
which it is.  It never answers a client.
"""
