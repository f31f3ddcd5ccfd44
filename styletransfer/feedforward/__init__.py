"""Styles at once, without optimisation: those of paintings, and those for which a network has been trained.

- ``styles``: either, as the command names it
- ``instant``: any painting, by moments of features and decoders; ``paintings``: one or several, blended or by masks
- ``style_file``: a trained network in one file, with what is known about it; ``stylize``: from picture to picture with
  it; ``strips``: for pictures larger than memory allows
- ``jobs``, ``folders``: files and folders, and where results go
- ``videos``: videos, frame by frame; ``shots``: their cuts; ``progress``: how far they are
"""
