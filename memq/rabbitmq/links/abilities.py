"""Abilities: what a node has to offer, or nothing is kept on it.

A node tells what it can do when a connection begins.  One that does not confirm what is
published would be told to store, and nobody could tell whether it has; so it is never
used.  RabbitMQ has all of this since 3.2; what stands in front of it may not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memq.rabbitmq.links.connections import AMQPConnection

#: What is needed, by the names under which nodes tell it: sets are told as stored by
#: confirms; messages go back by basic.nack; reads that wait hear of a deleted queue;
#: pauses are kept as bindings of exchanges.
NEEDED = (
    "publisher_confirms",
    "basic.nack",
    "consumer_cancel_notify",
    "exchange_exchange_bindings",
)
#: Channels of a connection at least: one that publishes and one before it, eight
#: questions about queues, and some over.
LEAST_CHANNELS = 16


def lackOf(amqp: AMQPConnection) -> str:
    """Return in words what the node of an open connection lacks; empty for nothing."""
    offered = amqp.server_capabilities
    lacking = [each for each in NEEDED if not offered.get(each)]
    if lacking:
        return f"it does not offer {', '.join(lacking)}"
    most: int = amqp.params.channel_max
    if most and most < LEAST_CHANNELS:
        return (
            f"it allows {most} channels a connection, of at least {LEAST_CHANNELS} "
            "(channel_max)"
        )
    return ""
