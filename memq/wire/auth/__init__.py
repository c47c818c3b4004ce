"""Authentication on the wire: memcached's command for it, and SASL PLAIN in packets.

Imports: memq.errors and memq.wire's packets.
It never decides who may come in, and knows no users.
"""
