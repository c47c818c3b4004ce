"""Metrics: the figures of the server and of its queues, in Prometheus's formats.

A survey looks at all queues, some at a time; an endpoint tells what it found.
It never waits, and never looks at more than some queues at a time.
Imports: memq.web.http, memq.operations, memq.broker, memq.rabbitmq, memq.server.
"""
