"""Users: the subcommand that adds, lists and removes them in a file.

Imports: memq.commandline, memq.access and what they import.
It never imports Twisted, and never speaks to a server.
"""
