"""Durations in words."""

from __future__ import annotations


def format_duration(seconds: float, decimals: int = 0) -> str:
    """Write a duration in the unit that suits it, such as ``2.5 hours``; `decimals` are those of minutes and hours."""
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.{decimals}f} {unit}"
    count = max(1, round(seconds))
    return f"{count} second{'s' * (count != 1)}"
