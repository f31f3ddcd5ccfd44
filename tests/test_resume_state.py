"""The state of a run as the arrays of a checkpoint."""

from __future__ import annotations

import numpy as np
import pytest

from styletransfer.session.resume_state import ResumeState, flattened, nested

STATE = ResumeState(
    "torch",
    "bfloat16",
    (None, 200),
    step=7,
    scale=1,
    begun=4,
    image=np.arange(6, dtype=np.float32),
    generator={"batch": 3},
    optimizer={"velocity": np.ones(6, np.float32), "updates": np.array(2)},
    guard={"tries": np.array(1), "total": np.array(0.1), "optimizer": {"shortening": np.array(0.5)}},
)


def told(state):
    """The contents of a state, arrays with their type."""
    arrays = {name: (value.dtype, value.tolist()) for name, value in flattened(vars(state)).items() if name != "tiles"}
    return arrays, state.tiles, state.generator


def test_a_state_is_the_same_after_a_checkpoint(tmp_path):
    np.savez(tmp_path / "state.npz", **STATE.arrays())
    with np.load(tmp_path / "state.npz", allow_pickle=False) as saved:
        assert {"step", "engine", "precision", "guard.tries", "guard.optimizer.shortening"} <= set(saved.files)
        again = ResumeState.from_arrays(dict(saved))
    assert told(again) == told(STATE)


def test_what_a_checkpoint_does_not_have_is_as_at_the_start():
    arrays = STATE.arrays()
    for name in ("scale", "begun", "tiles"):
        del arrays[name]
    state = ResumeState.from_arrays(arrays)
    assert (state.scale, state.begun, state.tiles, state.step) == (0, 0, (), 7)


@pytest.mark.parametrize("values", [{}, {"a": {"b": {"c": np.array(1)}, "d": np.array(2)}, "e": np.array(3)}])
def test_flattening_can_be_undone(values):
    assert nested(flattened(values)) == values
    assert all("." in name or not isinstance(values[name], dict) for name in flattened(values))


def test_arrays_are_not_copied():
    assert flattened({"a": {"b": STATE.image}})["a.b"] is STATE.image
