"""Clients of real servers: that misbehave, that die, and whose server is killed."""
