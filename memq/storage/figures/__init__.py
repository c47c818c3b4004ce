"""Figures: what is told of queues, of each and of many together.

Imports: memq.storage.row.
"""
