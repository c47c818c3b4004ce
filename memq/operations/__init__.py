"""Operations: requests of clients to a store, one object each, with undo.

Imports: memq.policy, memq.wire, memq.interfaces, memq.message and memq.errors.
An operation runs in a transaction of the broker's, and can be undone and run again.
It never sends a reply, and never knows the connection behind it.
"""
