"""Rules: the subcommand that shows and changes the rules of queues.

Imports: memq.commandline and what that imports.  It never imports Twisted.
"""
