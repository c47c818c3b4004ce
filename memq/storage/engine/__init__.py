"""Berkeley DB: environment, write-ahead log, recovery, files read page by page.

Imports: memq.storage.datadir and memq.errors.  Only ``binding`` imports Berkeley DB.
It never knows what a queue or a message is, and never imports Twisted.
"""
