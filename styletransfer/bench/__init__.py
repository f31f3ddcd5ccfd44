"""Benchmarks of time and memory, beside bare PyTorch if that is installed, and beside pastiche."""
