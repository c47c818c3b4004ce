"""Others' formats: MemcacheQ's directories, and clients of other protocols."""
