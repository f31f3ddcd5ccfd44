"""MXNet 1.9.1 on x86-64 Linux: the default engine where it installs."""
