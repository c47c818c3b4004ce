"""The home directory: its lock, its version, small files that are durable.

Imports: memq.errors.
It never opens Berkeley DB, and never imports Twisted.
"""
