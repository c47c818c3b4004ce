"""Commands: each becomes operations of the store, and their results replies.

Imports: memq.connection, memq.broker, memq.operations, memq.policy, memq.wire.
A command becomes operations; it renders what these found.
It never touches a store but through operations.
"""
