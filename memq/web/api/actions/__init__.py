"""Actions: what changes something, and what a person looks at before doing that.

Each is an operation as a command's, answered when it is durable, and leaves a line in
the audit.  It never asks whether it may: memq.web.http.routes does, before.
"""
