"""Backup, export, import and salvage: work on a home beside or without a server.

Imports: memq.storage and what it imports, memq.wire's names of queues, memq.config.
It holds the home's lock where the server must not run.
It never imports Twisted.
"""
