"""Asking a cluster: plain gets, open reads, and what is done to queues as a whole.

Imports: pika, and memq.rabbitmq.names.  Each is the user of a link of its own.
It never knows an operation or a session: it calls back with messages and errors.
"""
