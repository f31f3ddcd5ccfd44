"""PyTorch: for GPUs, for processors and systems without MXNet, and in bfloat16 for processors that are fast in it."""
