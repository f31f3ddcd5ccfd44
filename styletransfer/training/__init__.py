"""Training of feed-forward networks, each for one style.

- ``photographs``: random crops; ``network``: the network with its gradients; ``objective``: losses of a batch
- ``training``: one training, from a config to an output folder with a style file
"""
