"""Web: HTTP beside the queues, on a listener of its own: metrics and health.

It looks at the server between what clients ask of it.  It never changes a queue, never
waits on the queue port, and never holds more than a few answers in memory.
"""
