"""Connections to the nodes of a cluster, made again whenever they are lost.

It imports pika, what a private file is read with, and TLS.  It never sends anything by
itself, and knows no queues.
"""
