"""Real servers and clients that keep accounts: for bench, tools and memq.test alike.

Starts servers, watches their system calls, loads them with a mix of commands, and knows
from a ledger what they owe.  Imports memq and the standard library.
It never imports bench, tools or memq.test, and is never installed.
"""
