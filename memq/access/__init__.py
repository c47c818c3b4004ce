"""Access: who a client is, and what it may do with which queue.

Imports: memq.config, memq.policy's patterns, memq.wire, memq.errors; only authenticator
imports Twisted.  It answers; connections, commands and the web act on that.
It never keeps or logs what a client sent to prove who it is.
"""
