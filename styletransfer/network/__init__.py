"""A network bound for images: features forward, gradients backward, in tiles and in two precisions."""
