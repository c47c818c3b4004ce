"""Tests for memq.client."""
