"""The process: start and stop order, maintenance, signals, log file, systemd.

Imports: memq.server, memq.broker, memq.interfaces and memq.errors.
It alone decides when the process ends, and with which status.
It never answers a client.
"""
