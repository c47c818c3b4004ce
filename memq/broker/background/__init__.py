"""Background tasks: messages that go back, and delayed ones that are due.

Imports: memq.operations and what that imports, and Twisted's logger.
It never runs anything itself: each task asks the broker, as a client does.
"""
