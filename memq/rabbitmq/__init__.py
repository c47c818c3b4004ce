"""A store on a cluster of RabbitMQ: links to its nodes, and what is asked over them.

It imports pika, which nothing else does, and operations, wire and what is below them.
It never answers for the cluster: what no majority has confirmed is not told as done.
"""
