"""Imports: whole queues are brought in while others use the store.

It never knows a connection, a command or how its chunks came.
"""
