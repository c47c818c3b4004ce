"""The engine over a cluster: carries out operations that a store knows nothing of.

Imports: memq.broker, memq.operations, memq.policy and memq.rabbitmq.asking.
It never keeps a message: what it holds on its way is the cluster's, or a client's.
"""
