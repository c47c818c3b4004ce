"""The server: how many connections there are, how long they last, the figures.

Imports: memq.commands, memq.connection, memq.broker and what they import.
It counts, bounds and ends connections.
It never parses a command.
"""
