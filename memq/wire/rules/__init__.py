"""The grammar of the commands about rules.

Imports: memq.errors, memq.wire.
It never knows which keys a rule has, nor what they may say.
"""
