"""Queues and messages, kept: what every store shares, and the store in memory.

``datadir`` is the directory, ``engine`` is Berkeley DB, ``bdb`` is the store on it.
Imports: memq.interfaces, memq.message and memq.errors.
It never imports Twisted, and knows neither clients nor policies.
"""
