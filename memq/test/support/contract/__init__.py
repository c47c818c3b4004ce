"""The contract of a store: one suite, run on every store.

A test case mixes ``whole.WholeContract`` in and has a ``makeStore``; each other module
is a facet of it.  ``machine`` runs any sequence of transactions beside a model.
"""
