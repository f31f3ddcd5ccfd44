"""The formats in which a result can be written. Needs no Pillow: configs are checked with it."""

# By the suffixes of their files, with the longest side in pixels that they can have.
FORMATS = {"png": 2**31 - 1, "jpg": 65_500, "webp": 16_383, "tiff": 2**31 - 1}
JPEG_QUALITY = 95
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
