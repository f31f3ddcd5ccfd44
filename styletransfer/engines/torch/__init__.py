"""PyTorch: for GPUs, for processors and systems without MXNet, and in bfloat16 for processors that are fast in it."""

from models.threads import threads

threads()  # is checked before PyTorch is imported, whose OpenMP would print a line of its own
