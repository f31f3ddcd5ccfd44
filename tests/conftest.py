"""Puts the project on the import path, and makes hypothesis draw the same examples in every run."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# The arrays of the tests are too small for several threads, which would only wait for each other on busy cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same engine on every processor, in the programs of the tests too.
os.environ.setdefault("STYLETRANSFER_ENGINE", "mxnet" if importlib.util.find_spec("mxnet") else "torch")

# A shell starts background commands with SIGINT ignored; the tests of interrupts need it, here and in their programs.
signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A folder with a photograph, two paintings and the weights of a random network."""
    from helpers import fill_studio

    folder = tmp_path_factory.mktemp("studio")
    fill_studio(folder)
    return folder


@pytest.fixture
def in_the_studio(studio, monkeypatch):
    """Work in the studio, without curve.png, which would take most of the time."""
    from styletransfer.session import curves

    monkeypatch.chdir(studio)
    monkeypatch.setattr(curves, "plot", lambda *arguments: None)
