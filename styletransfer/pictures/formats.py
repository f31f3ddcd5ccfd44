"""File formats, without the code that reads and writes them, so that configs can be checked quickly."""

# The picture formats that can be written, by suffix, with the longest side in pixels.
FORMATS = {"png": 2**31 - 1, "jpg": 65_500, "webp": 16_383, "tiff": 2**31 - 1}
JPEG, TIFF = (".jpg", ".jpeg"), (".tif", ".tiff")  # all suffixes of their files
JPEG_QUALITY = 95
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi")
VIDEO_RESULT = ".mp4"
