"""Waiters: a line of reads for each queue, and reads that stand in several.

Imports: memq.operations and what that imports.
It never runs anything: memq.broker.rotation does, and says who waits or is woken.
"""
