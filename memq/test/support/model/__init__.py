"""The model of a server: what it holds and answers, as plain Python.

``queues`` holds messages by the queues' rules, ``server`` has clients, waiters and the
clock, ``commands`` and ``reads`` are what clients send: nothing of memq takes part in
those.  ``rig`` is the real server, ``machine`` runs both, ``draws`` makes up commands.
"""
