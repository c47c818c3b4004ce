"""What front ends share besides queues: pauses, and news of what was done to a queue.

Imports: pika, and memq.rabbitmq.asking.base.  It goes over a link of its own.
It never keeps anything that the cluster does not: what is known here is asked again.
"""
