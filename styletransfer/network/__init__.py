"""A network bound for images: forward and backward passes, tiling, precision."""
