"""BDBStore: queues and messages in tables of Berkeley DB.

Imports: memq.storage and its packages, memq.interfaces, memq.message, memq.errors.
One thread runs all transactions; a second one syncs and checkpoints.
It never imports Twisted.
"""
