"""Tests for memq.rabbitmq.links."""
