"""The model of a server: what it holds and answers, as plain Python.

``queues`` holds messages by the queues' rules, ``server`` has clients, waiters and the
clock, ``commands`` and ``reads`` are what clients send: nothing of memq takes part in
those.  ``draws`` makes up commands and rules, ``machine`` runs a server beside it.
"""
