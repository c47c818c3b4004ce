"""Tests of memq.rabbitmq.asking."""
