"""Tests for memq.rabbitmq.shared."""
