"""The optimisation loop, the divergence guard and the optimisers."""
