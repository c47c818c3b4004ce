"""The files of the page, as a browser gets them.

It never has code of the server: HTML, CSS and modules of JavaScript.
"""
