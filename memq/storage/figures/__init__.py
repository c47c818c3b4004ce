"""Figures of very many queues, of each and of all together.

Imports: memq.storage.row and memq.storage.undo.
It never reads or writes anything: who asks for heads says how to look at one.
"""
