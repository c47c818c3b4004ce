"""The commands about rules: change them, and tell them.

Imports: memq.commands, memq.config, memq.operations, memq.policy, memq.wire.
It writes none down itself, and never speaks of one that does not hold.
"""
