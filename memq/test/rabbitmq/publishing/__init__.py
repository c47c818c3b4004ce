"""Tests for memq.rabbitmq.publishing."""
