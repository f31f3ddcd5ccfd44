"""What every other package may use: errors, files, sizes, command-line helpers."""
