"""Live: the subcommands that show what comes in, and who is connected.

Imports: memq.commandline and what that imports.  It never imports Twisted.
"""
