"""Puts the project on the import path and makes every run of the tests draw the same examples."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hypothesis

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# The arrays of the tests are too small to share among threads, which only wait for each other when cores are busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")

hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.load_profile("repeatable")
