"""Taking over from MemcacheQ: its directory, its files, its command line.

Imports: memq.storage, memq.admin, memq.config, memq.message and memq.errors.
It never writes to a file that MemcacheQ wrote.
"""
