"""Training of feed-forward networks, each for one style.

- ``photographs``: random crops; ``network``: the network with its gradients; ``objective``: losses of a batch
- ``training``: the task that a session runs, from a config to a style file
"""
