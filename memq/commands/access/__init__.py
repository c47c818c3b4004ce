"""Access of commands: what the user of a connection may do is held to.

Imports: memq.access, memq.commands and what that imports.  It never finds out who a
user is, and never decides which rights a command needs.
"""
