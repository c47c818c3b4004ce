"""Tests for testkit."""
