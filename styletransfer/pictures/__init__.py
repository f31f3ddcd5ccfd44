"""Reading and writing pictures, and the pixel spaces in which images are optimised."""
