"""Feed-forward style transfer: networks trained for one style, style files, and their use on pictures.

- ``network``: a network bound for one size; ``strips``: the same for pictures larger than memory allows
- ``style_file``: a trained network in one file, with what is known about it
- ``stylize``: from picture to picture; ``jobs``, ``folders``: files and folders, and where results go
- ``videos``: videos, frame by frame; ``progress``: how far they are
"""
