"""The commands about rules: change them, and tell them.

Imports: memq.commands, memq.config, memq.operations, memq.policy, memq.wire.
It never writes rules down itself, nor answers that one holds before it does.
"""
