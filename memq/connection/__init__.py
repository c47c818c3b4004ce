"""A connection: bytes become commands, replies leave in the order of these.

Imports: memq.broker, memq.operations, memq.wire, memq.message and memq.errors.
A connection bounds what it has outstanding, and gives back what did not arrive.
It never knows what a command means.
"""
