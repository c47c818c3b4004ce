"""Access: who asks, and what that one may ask for.

Imports: memq.web.http, memq.access.
It never keeps what somebody said to prove who that is.
"""
