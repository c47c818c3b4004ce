"""memcached's text protocol: bytes become commands, results become replies.

Pure functions and records: no I/O, no state, no Twisted, no zope.interface.
Imports: memq.errors and memq.message.  All other packages may import it.
It never looks at a store, a clock or a connection.
"""
