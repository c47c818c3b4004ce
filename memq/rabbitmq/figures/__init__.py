"""Figures: what is told of a cluster, and of what this process does with it.

Imports: memq.rabbitmq.asking and memq.rabbitmq.telling.
It never tells a figure that nobody has: those are left out.
"""
