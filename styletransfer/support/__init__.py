"""Helpers that every other package may use: errors, files, byte sizes, command-line entry points."""
