"""Taps: copies of the messages that are set, for those who watch queues.

Imports: memq.operations, memq.policy.  It never imports the wire or a store.
"""
