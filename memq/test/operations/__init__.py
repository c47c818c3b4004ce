"""Tests for memq.operations."""
