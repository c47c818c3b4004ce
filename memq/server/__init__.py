"""What the connections of a server share: how many, how long, and the figures.

Imports: memq.commands, memq.connection, memq.broker and what they import.
It counts, bounds and ends connections.
It never parses a command.
"""
