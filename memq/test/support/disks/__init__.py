"""Disks that fail, are full or lose power, and homes that are damaged.

``disk`` and ``diskfile`` say what a power cut may leave; ``tracedrun``, ``powerload``
and ``powercut`` make one of a run of a server.  ``faultydisk`` fails system calls,
``smalldisks`` are full; ``wrecks`` are homes with damage, ``logfile`` reads the log.
"""
