"""Tests that start real servers, kill them, and break what lies below them."""
