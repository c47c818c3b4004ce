"""History: the last ten minutes of the server and of some queues, in memory.

What all queues have together comes from the index of the store, which takes 10 ms of
100,000 of them, in slices; the figures of single queues from operations, of those
alone that somebody has asked for.  It never keeps more than a fixed number of samples.
"""
