"""memq: a persistent message queue that any memcached client can speak to.

A Twisted service over Berkeley DB, made to take the place of MemcacheQ:
``set`` appends a message to a queue, ``get`` takes one from its head.
"""

#: The one place where the version stands; clients read it from ``version``.
__version__ = "0.1.0"
