"""The page: what a person sees of the server, and does to it, in a browser.

It never knows a queue: it is files, and what they show comes from the API.
"""
