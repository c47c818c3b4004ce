"""How fast memq is, beside its peers: `make bench` and its like.

Nothing here is part of memq, and nothing but Python's own library is needed.
"""
