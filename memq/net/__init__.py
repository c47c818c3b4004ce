"""Sockets: listeners, those of the service manager, transports that send at once, TLS.

Imports: memq.errors, memq.ratelimit.
It never knows what the bytes mean.
"""
