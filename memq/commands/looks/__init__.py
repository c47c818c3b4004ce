"""Looks: commands that show messages and connections, and change no queue.

Imports: memq.commands.dialogue and what that imports.  It never imports a store.
"""
