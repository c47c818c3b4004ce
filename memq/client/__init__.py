"""Client: a blocking connection to a server, and where the server is.

Imports: memq.errors and memq.display; memq.config where a server has to be looked for.
It speaks the classic text protocol, each reply read to its end.
It never imports Twisted.
"""
