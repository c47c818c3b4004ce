"""Tests for memq.rabbitmq."""
