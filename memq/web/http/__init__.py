"""HTTP: requests within bounds, and replies that are made while they are sent.

It never knows what is served.  Imports: twisted.web, and of memq what knows users.
"""
