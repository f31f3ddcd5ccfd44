"""Reading and writing pictures and videos, and the pixel spaces in which images are optimised."""
