"""Hidden messages: those that are read openly, many in one go, and the others.

Imports: memq.storage.bdb.heads and what that imports.  It never imports Twisted.
"""
