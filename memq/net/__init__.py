"""Sockets: listeners, sockets of the service manager, transports that send at once.

Imports: memq.errors.
It never knows what the bytes mean.
"""
