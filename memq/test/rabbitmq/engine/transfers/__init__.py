"""Tests of memq.rabbitmq.engine."""
