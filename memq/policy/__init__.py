"""Queue policies: what a queue's limits, expiry, fan-out and dead letters are.

Imports: memq.wire, memq.storage's interface and memq.errors.
It only answers what holds for a queue; memq.operations carries it out.
It never changes a store, and knows no Twisted.
"""
