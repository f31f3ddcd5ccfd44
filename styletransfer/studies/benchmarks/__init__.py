"""Benchmarks of time and memory, compared with the same objective in PyTorch if that is installed.

===================  ===================================================================================================
module               what it does
===================  ===================================================================================================
machine              one-line description of machine and libraries; threads; whether to measure bfloat16
fresh_process        runs a measurement in a separate process
pytorch              the network and the objective in PyTorch; only for benchmarks and tests
stacks               one step of every stack, ready to be timed
steps                the table of steps: time and peak memory of every stack
quality              the table of time to quality: the time of each to the same loss
sizes                the table of sizes: memory and time against the resolution, whole and in tiles
feedforward          the table of feed-forward networks: time and peak memory of every stack
pytorch_feedforward  the feed-forward networks in PyTorch; only for benchmarks and tests
large                the table of large pictures: time and peak memory of a picture in a style under a limit
start                what starting from a trained style saves
report               rows as text and Markdown, the page with the tables, the plot
command              implements `scripts/bench.py`
===================  ===================================================================================================
"""
