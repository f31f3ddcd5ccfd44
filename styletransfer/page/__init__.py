"""The page: a browser in place of the command line.

The server only writes configs, launches runs as processes of their own, one at a time, and watches their folders.
"""
