"""Every kind of initial image, and the seed."""

from __future__ import annotations

import typing

import numpy as np
import pytest

from styletransfer.config import Init
from styletransfer.session.initialization import start

SHAPE = (1, 3, 40, 50)
CONTENT = np.random.default_rng(1).normal(0.0, 60.0, SHAPE).astype(np.float32)
PICTURE = np.random.default_rng(2).normal(0.0, 60.0, SHAPE).astype(np.float32)
KINDS = typing.get_args(Init.model_fields["kind"].annotation)
RANDOM_KINDS = ("noise", "uniform", "blend")


def started(seed=0, **settings):
    settings |= {"image": {"image": "a picture"}, "style": {"name": "a style"}}.get(settings["kind"], {})
    return start(Init(**settings), SHAPE, CONTENT, PICTURE, np.random.default_rng(seed))


def many_values(**settings):
    """An initial image that is large enough for estimates of its moments."""
    return start(Init(**settings), (1, 3, 400, 500), None, None, np.random.default_rng(0)).astype(np.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_makes_an_image(kind):
    image = started(kind=kind)
    assert image.shape == SHAPE and image.dtype == np.float32
    assert np.isfinite(image).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_determines_the_image(kind):
    np.testing.assert_array_equal(started(kind=kind, seed=3), started(kind=kind, seed=3))
    assert np.array_equal(started(kind=kind, seed=3), started(kind=kind, seed=4)) == (kind not in RANDOM_KINDS)


def test_noise_is_normal_around_zero():
    image = many_values(kind="noise", deviation=7.0)
    assert abs(image.mean()) < 0.04  # the standard error of the mean is 7 / sqrt(600 000) = .009
    assert image.std() == pytest.approx(7.0, rel=0.005)
    assert np.mean(np.abs(image) < 7.0) == pytest.approx(0.6827, abs=0.003)
    assert np.mean(np.abs(image) < 14.0) == pytest.approx(0.9545, abs=0.0015)


def test_uniform_noise_fills_its_range():
    image = many_values(kind="uniform", low=-4.0, high=10.0)
    assert -4.0 <= image.min() < -3.99 and 9.99 < image.max() <= 10.0
    assert image.mean() == pytest.approx(3.0, abs=0.025)
    assert image.std() == pytest.approx(14.0 / np.sqrt(12), rel=0.005)


def test_noise_is_independent_for_every_value():
    for kind in ("noise", "uniform"):
        image = started(kind=kind)
        assert len(np.unique(image)) > 0.99 * image.size


def test_a_blend_is_a_weighted_mean_of_noise_and_content():
    limits = {"low": -20.0, "high": 12.0}
    noise = started(kind="uniform", seed=5, **limits).astype(np.float64)
    for share in (0.0, 0.6, 1.0):
        blend = started(kind="blend", seed=5, noise_share=share, **limits)
        np.testing.assert_allclose(blend, share * noise + (1 - share) * CONTENT, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "expected"), [("content", CONTENT), ("matched", PICTURE), ("image", PICTURE), ("style", PICTURE)]
)
def test_a_picture_is_copied_unchanged(kind, expected):
    image = started(kind=kind)
    np.testing.assert_array_equal(image, expected)
    assert not np.shares_memory(image, expected)


def test_noise_needs_no_pictures():
    for kind in ("noise", "uniform"):
        image = start(Init(kind=kind), SHAPE, None, None, np.random.default_rng(0))
        np.testing.assert_array_equal(image, started(kind=kind))
