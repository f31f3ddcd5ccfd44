"""Pictures read and written, and the pixel spaces that images are optimised in."""
