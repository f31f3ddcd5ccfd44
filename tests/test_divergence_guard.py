"""The guard: what is rolled back and what is tolerated, with every optimiser; resuming from its state; giving up."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import ENGINE, BreaksAt, Quadratic, evaluation_of, number, to_array, to_numpy

from styletransfer.config import OptimizerSettings
from styletransfer.losses.objective import Losses
from styletransfer.optimization.divergence_guard import EXPLOSION, MAX_ROLLBACKS, Guard
from styletransfer.optimization.loop import StoppingRule, optimize
from styletransfer.optimization.optimizers import SGD, create
from styletransfer.session.resume_state import flattened, nested
from styletransfer.support.errors import Diverged

START = np.random.default_rng(1).normal(0.0, 10.0, (1, 3, 4, 5))
OBJECTIVE = Quadratic(1.0, centre=3.0)
PLAIN = OptimizerSettings(name="sgd", learning_rate=0.05, momentum=0.5, bounds="none")
OPTIMIZERS = {
    "sgd": PLAIN,
    "adam": OptimizerSettings(name="adam", learning_rate=0.5, bounds="none"),
    "accept_reject": OptimizerSettings(name="accept_reject", learning_rate=0.05),
    "lbfgs": OptimizerSettings(name="lbfgs", history=2, first_step=0.1, bounds="none"),
    "lbfgsb": OptimizerSettings(name="lbfgsb", evaluations=9, history=2, first_step=0.1, bounds="none"),
}
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)
# All but lbfgs, whose line search lets no bad trial become a step.
every_that_can_break = pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "lbfgs"])


class Valley:
    """Half the sum of squares, some of which count far more than others: L-BFGS needs many steps."""

    def __init__(self):
        self.curvatures = to_array(np.geomspace(0.01, 1.0, START.size).reshape(START.shape))

    def __call__(self, image):
        gradient = self.curvatures * image
        total = 0.5 * number(ENGINE.dot(gradient, image))
        return evaluation_of(Losses({("content", "valley"): total}, 0.0), gradient, None)


def suited(name):
    """An objective that keeps the optimiser busy."""
    return Valley() if name in ("lbfgs", "lbfgsb") else OBJECTIVE


def started(name_or_settings=PLAIN):
    """A starting image and an optimiser for it."""
    chosen = OPTIMIZERS[name_or_settings] if isinstance(name_or_settings, str) else name_or_settings
    image = to_array(START)
    return image, create(chosen, ENGINE, image, "rgb255")


def course(image, optimizer, objective, steps, **going_on):
    """The records, each with a copy of everything needed to resume after it."""
    guard = going_on.pop("guard", None) or Guard(ENGINE)
    return [
        (record, (record.values(), optimizer.state(), guard.state()))
        for record in optimize(ENGINE, image, objective, optimizer, StoppingRule(steps), guard=guard, **going_on)
    ]


def told(records):
    """The contents of records without the time; as text, since NaN does not equal itself."""
    return [repr((r.step, r.losses, r.relative_change, r.gradient_norm, r.learning_rate, r.rollback)) for r in records]


@every_that_can_break
def test_a_bad_step_rolls_back_to_the_best_state_and_recovers(name):
    made = course(*started(name), BreaksAt(suited(name), [25], loss=math.nan), 60)
    records = [record for record, _ in made]
    assert [record.step for record in records] == list(range(61))
    (bad,) = (record for record in records if record.rollback)
    totals = [record.losses.total for record in records]
    kept = min((step for step in range(0, bad.step, 10)), key=totals.__getitem__)
    assert bad.rollback == (
        f"step {bad.step}: the loss or its gradient is not finite; rolled back to step {kept} with steps 0.5 times as "
        "long (1 of 5)"
    )
    np.testing.assert_array_equal(made[bad.step][1][0], made[kept][1][0])
    assert totals[-1] <= totals[kept]


@pytest.mark.parametrize("name", ["sgd", "adam", "accept_reject"])
def test_after_a_rollback_the_rate_is_halved(name):
    rate = OPTIMIZERS[name].learning_rate
    rates = [record.learning_rate for record, _ in course(*started(name), BreaksAt(OBJECTIVE, [5, 9], math.inf), 12)]
    assert rates[1:] == [rate] * 5 + [rate / 2] * 4 + [rate / 4] * 3


def test_after_a_rollback_the_first_trial_of_lbfgsb_is_half_as_long():
    def first_trial(made, step):
        return np.abs(made[step][1][0] - made[step - 1][1][0]).max()

    undisturbed = course(*started("lbfgsb"), OBJECTIVE, 1)
    broken = course(*started("lbfgsb"), BreaksAt(OBJECTIVE, [1], math.nan), 2)
    assert broken[1][0].rollback
    assert first_trial(broken, 2) == pytest.approx(first_trial(undisturbed, 1) / 2, rel=1e-4)


def test_after_a_rollback_scipys_default_first_trial_is_shorter_too():
    image, optimizer = started(OPTIMIZERS["lbfgsb"].model_copy(update={"first_step": None}))
    made = course(image, optimizer, BreaksAt(OBJECTIVE, [1], math.nan), 2)
    assert np.linalg.norm(made[2][1][0] - made[1][1][0]) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("broken", [{"loss": math.nan}, {"loss": math.inf}, {"gradient": math.nan}], ids=str)
def test_lbfgs_never_accepts_a_non_finite_trial(broken):
    objective = BreaksAt(Valley(), [1, 5, 9, 10], **broken)
    records = [record for record, _ in course(*started("lbfgs"), objective, 20)]
    assert len(records) == 21 and len(objective.seen) >= 21 + 4
    assert not any(record.rollback for record in records)
    assert all(math.isfinite(record.losses.total) and math.isfinite(record.gradient_norm) for record in records)


def test_lbfgs_ends_if_every_trial_is_non_finite():
    made = course(*started("lbfgs"), BreaksAt(Valley(), range(24, 10_000), math.nan), 100)
    totals = [record.losses.total for record, _ in made]
    assert 20 < len(made) < 30 and min(totals) == totals[-1]
    np.testing.assert_array_equal(to_numpy(made[-1][0].image), made[-1][1][0])


def test_the_guard_does_not_keep_the_history_of_lbfgs():
    image, optimizer = started("lbfgs")
    guard = Guard(ENGINE)
    course(image, optimizer, Valley(), 10, guard=guard)
    assert flattened(guard.state()).keys() == {"tries", "start_total", "step", "total", "image", "optimizer.shortening"}
    assert guard.state()["step"] == 10


@every_optimizer
@pytest.mark.parametrize("done", range(0, 41, 4))
def test_resuming_after_any_step_gives_the_same_run(name, done):
    """Before rollbacks, right after them, and later; for L-BFGS-B within rounds and between them."""
    objective = BreaksAt(suited(name), [5, 14, 27, 33], gradient=math.nan)
    whole = course(*started(name), objective, 40)
    bad = [record.step for record, _ in whole if record.rollback]
    assert len(whole) == 41 and len(bad) == (0 if name == "lbfgs" else 4)

    records, states = zip(*whole)
    kept, state, guard = states[done]
    other, restored = started(name)
    ENGINE.assign(other, kept)
    restored.restore(state)
    rest = course(other, restored, objective, 40, guard=Guard(ENGINE, guard), after=done)
    assert told(record for record, _ in rest) == told(records[done + 1 :])


@pytest.mark.parametrize("rate", [25.0, 200.0])
def test_runs_with_too_large_rates_recover(rate):
    """Plain descent on a quadratic of curvature 1 needs a rate below 2 (1 + momentum)."""
    image, optimizer = started(PLAIN.model_copy(update={"learning_rate": rate / 2, "momentum": 0.0}))
    made = course(image, optimizer, Quadratic(10 / rate, centre=3.0), 400)
    assert 1 <= sum(bool(record.rollback) for record, _ in made) <= MAX_ROLLBACKS
    assert made[-1][0].losses.total < 1e-3 * made[0][0].losses.total


@every_that_can_break
def test_giving_up_leaves_the_best_image(name):
    image, optimizer = started(name)
    records = []
    with pytest.raises(Diverged, match=rf"{MAX_ROLLBACKS} rollbacks .*; try a smaller {optimizer.step_key}$"):
        for record in optimize(
            ENGINE,
            image,
            BreaksAt(suited(name), range(24, 10_000), math.nan),
            optimizer,
            StoppingRule(10_000),
        ):
            bad = record.rollback or record.diverged
            records.append((record.step, record.losses.total, record.values(), bad))
    assert sum(bool(bad) for *_, bad in records) == MAX_ROLLBACKS + 1 and records[-1][3] is True
    seen = [(total, step) for step, total, _, bad in records if step % 10 == 0 and not bad]
    np.testing.assert_array_equal(to_numpy(image), records[min(seen)[1]][2])


def watched(total=1.0):
    """A guard at the start of a scale."""
    image, optimizer = started()
    guard = Guard(ENGINE)
    guard.start(0, total, 1.0, image, optimizer)
    return guard, image, optimizer


def test_an_explosion_is_detected_at_every_tenth_step():
    guard, *_ = watched()
    assert "more than 100 times" in guard.problem(10, 1.01 * EXPLOSION, 1.0, trial=False)
    assert guard.problem(10, 0.99 * EXPLOSION, 1.0, trial=False) is None
    assert guard.problem(11, 1e9, 1.0, trial=False) is None
    assert guard.problem(10, 1e9, 1.0, trial=True) is None
    assert "finite" in guard.problem(11, math.inf, 1.0, trial=True)
    assert "finite" in guard.problem(11, 1.0, math.nan, trial=False)
    nothing, *_ = watched(total=0.0)
    assert nothing.problem(10, 1.0, 1.0, trial=False) is None


def test_a_finite_explosion_is_rolled_back():
    """Its gradient is clipped, so all numbers stay finite."""
    settings = PLAIN.model_copy(update={"learning_rate": 100.0, "clip_norm": 20.0, "momentum": 0.9})
    made = course(*started(settings), OBJECTIVE, 60)
    assert "100 times" in next(record.rollback for record, _ in made if record.rollback)


def test_only_a_better_state_is_kept():
    guard, image, optimizer = watched()
    for step, total, value in [(10, 1.5, 1), (15, 0.1, 2), (20, 0.5, 3), (30, 0.7, 4)]:
        image[:] = value
        guard.keep_best(step, total, image, optimizer)
    assert "back to step 20" in guard.roll_back(31, "it broke", image, optimizer)
    np.testing.assert_array_equal(to_numpy(image), 3)


def test_the_kept_state_is_a_copy_of_the_image():
    guard, image, optimizer = watched()
    evaluation = OBJECTIVE(image)
    for _ in range(3):
        (move,) = optimizer.advance(image, evaluation, OBJECTIVE)
        evaluation = move.evaluation
    state = flattened(guard.state())
    np.testing.assert_array_equal(state["image"], START.astype(np.float32))
    np.testing.assert_array_equal(state["optimizer.velocity"], 0)
    assert state["optimizer.updates"] == 0


def test_rollbacks_are_counted_over_all_scales():
    guard, image, optimizer = watched()
    for _ in range(MAX_ROLLBACKS):
        guard.roll_back(5, "it broke", image, optimizer)
        guard.end_scale()
        guard.start(10, 100.0, 1.0, image, optimizer)
    with pytest.raises(Diverged, match=r"^step 15: it broke; "):
        guard.roll_back(15, "it broke", image, optimizer)
    assert SGD.state(optimizer)["shortening"] == 0.5**MAX_ROLLBACKS


def test_a_state_can_be_saved_by_numpy(tmp_path):
    guard, image, optimizer = watched()
    guard.roll_back(3, "it broke", image, optimizer)
    np.savez(tmp_path / "guard.npz", **flattened(guard.state()))
    with np.load(tmp_path / "guard.npz", allow_pickle=False) as saved:
        again = Guard(ENGINE, nested({name: saved[name] for name in saved.files}))
    assert {name: value.tolist() for name, value in flattened(again.state()).items()} == {
        name: value.tolist() for name, value in flattened(guard.state()).items()
    }
    assert Guard(ENGINE).state().keys() == {"tries", "start_total"}
