"""The process: start and stop order, maintenance, signals, systemd.

Imports: memq.server, memq.net and what they import.
It alone decides when the process ends, and with which status.
It never answers a client.
"""
