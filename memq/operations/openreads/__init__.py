"""Open reads: messages that are kept for their reader until it closes them.

It never knows a command or a connection, and never reads a clock but its client's.
"""
