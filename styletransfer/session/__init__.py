"""A run from a config to its output folder."""
