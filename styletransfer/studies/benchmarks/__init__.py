"""What this project costs in time and memory, measured beside the same objective in PyTorch where that is installed.

================  ====================================================================================================
module            what it does
================  ====================================================================================================
machine           the machine and the libraries in one line; threads; which precisions are worth measuring
fresh_process     runs a measurement in a process of its own
pytorch           the network and the objective in PyTorch; used by benchmarks and tests only
stacks            one step of every stack, ready to be timed
steps             the table of steps: time and peak memory of every stack
quality           the table of time to quality: when each reaches the same loss
sizes             the table of sizes: memory and time against the resolution, whole and in tiles
report            rows as text and as Markdown, the page that keeps them, the plot
command           what `scripts/bench.py` does
================  ====================================================================================================
"""
