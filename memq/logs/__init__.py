"""Logs: what the server says of itself, and what people did to it, a line each.

Imports: memq.ratelimit, memq.errors, memq.display and Twisted's logger.  All packages
that do not have to do without Twisted may import it.
It never logs a body or a secret, and never stops the server.
"""
