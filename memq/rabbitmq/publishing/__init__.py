"""Publishes messages, and declares the queues that they want.

It imports links and errors.  It never tells a message as stored that no majority has,
and never declares a queue on one node's word.
"""
