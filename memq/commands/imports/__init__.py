"""Imports: what the lines of an import ask of the store, and what they are answered.

It never sees a body that is no chunk.
"""
