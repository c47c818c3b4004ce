"""Other people's clients against a real server.

Each client hides behind a small adapter (``client.Client``), so that all of them
go through the same cases (``cases.ClientCase``).  A client that is not installed
is a failure here: `make test` installs all of them.
"""
