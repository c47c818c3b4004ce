"""Command line: the subcommands of ``memq`` that speak to a running server.

Imports: memq.client and what is below it; rich only where there is a terminal.
Each module adds its subcommands to a parser and carries them out.
It never imports Twisted.
"""
