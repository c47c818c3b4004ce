"""Transfers: what is set here that was read before, here or from an export.

Imports: memq.operations, memq.rabbitmq.asking, and sets and views of the engine.
It never lets go of anything before a majority has what is set for it.
"""
