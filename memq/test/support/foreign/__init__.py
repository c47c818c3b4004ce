"""What is not memq's own: MemcacheQ's directories, and clients of other protocols."""
