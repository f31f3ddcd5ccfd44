"""Luminance and chroma, and matched colours: against scikit-image's Y'IQ, the moments wanted, and the corner cases."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import random_picture
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2yiq

from styletransfer.pictures import colors

SEEDS = st.integers(0, 2**32 - 1)
FLAT = np.full((7, 9, 3), [0.2, 0.5, 0.7])


def colourful(seed, height=24, width=31):
    """A picture whose colours are correlated, as those of photographs are."""
    generator = np.random.default_rng(seed)
    mixed = generator.normal(size=(height, width, 3)) @ generator.uniform(-1, 1, (3, 3)) * 0.1
    return np.clip(mixed + generator.uniform(0.3, 0.7, 3), 0, 1).astype(np.float32)


def grey_of(seed):
    return colors.grey(colors.luminance(colourful(seed)))


# Luminance.


def test_luminance_is_that_of_yiq():
    picture = random_picture(11, 13, seed=1)
    np.testing.assert_allclose(colors.luminance(picture), rgb2yiq(picture)[..., 0], atol=1e-6)


def test_a_grey_picture_has_three_equal_channels_and_its_luminance():
    values = np.random.default_rng(0).random((5, 6))
    picture = colors.grey(values)
    assert picture.shape == (5, 6, 3) and picture.dtype == np.float32
    assert np.ptp(picture, axis=2).max() == 0
    np.testing.assert_allclose(colors.luminance(picture), values, atol=1e-7)


def test_white_and_black_keep_their_luminance():
    np.testing.assert_allclose(colors.luminance(np.array([[[0, 0, 0], [1, 1, 1]]])), [[0, 1]], atol=1e-15)


@given(SEEDS)
def test_another_luminance_leaves_the_chroma(seed):
    generator = np.random.default_rng(seed)
    picture = generator.random((6, 8, 3))
    wanted = generator.uniform(-0.3, 1.3, (6, 8))
    changed = colors.with_luminance(picture, wanted)
    assert changed.min() >= -1e-12 and changed.max() <= 1 + 1e-12
    np.testing.assert_allclose(rgb2yiq(changed)[..., 1:], rgb2yiq(picture)[..., 1:], atol=1e-6)


@given(SEEDS)
def test_the_luminance_is_the_nearest_that_the_chroma_allows(seed):
    """Against trying them all, in the colours that scikit-image makes of a luminance and a chroma."""
    generator = np.random.default_rng(seed)
    picture, wanted = generator.random((1, 1, 3)), float(generator.uniform(-0.3, 1.3))
    tried = np.linspace(0, 1, 20_001)
    chroma = picture - rgb2yiq(picture)[..., :1]
    possible = tried[np.all((tried[:, None] + chroma[0] >= 0) & (tried[:, None] + chroma[0] <= 1), axis=1)]
    nearest = possible[np.abs(possible - wanted).argmin()]
    found = colors.luminance(colors.with_luminance(picture, np.array([[wanted]])))
    assert found[0, 0] == pytest.approx(nearest, abs=1e-4)


def test_its_own_luminance_changes_nothing():
    picture = colourful(3)
    np.testing.assert_allclose(colors.with_luminance(picture, colors.luminance(picture)), picture, atol=1e-7)


def test_a_grey_photograph_gets_any_luminance():
    wanted = np.random.default_rng(1).random((24, 31))
    np.testing.assert_allclose(colors.with_luminance(grey_of(2), wanted), colors.grey(wanted), atol=1e-6)


@given(SEEDS)
def test_a_matched_luminance_has_the_mean_and_deviation_of_the_other(seed):
    values, reference = (colors.luminance(colourful(seed + more, 20 + more)) for more in (0, 1))
    matched = colors.match_luminance(values, reference)
    assert matched.mean() == pytest.approx(reference.mean(), abs=1e-12)
    assert matched.std() == pytest.approx(reference.std(), abs=1e-12)
    assert np.corrcoef(matched.ravel(), values.ravel())[0, 1] == pytest.approx(1)


def test_an_even_luminance_becomes_the_mean_of_the_other_and_the_other_way_round():
    values, even = colors.luminance(colourful(1)), np.full((3, 4), 0.4)
    np.testing.assert_allclose(colors.match_luminance(even, values), np.full((3, 4), values.mean()))
    np.testing.assert_allclose(colors.match_luminance(values, even), np.full(values.shape, 0.4))


# Mean and covariance.


def covariance(picture):
    return np.cov(np.asarray(picture, dtype=np.float64).reshape(-1, 3).T, bias=True)


def mean(picture):
    return np.asarray(picture, dtype=np.float64).mean(axis=(0, 1))


@given(SEEDS)
def test_matched_colours_have_the_mean_and_covariance_of_the_other(seed):
    picture, reference = colourful(seed), colourful(seed + 1, 40, 17)
    if np.linalg.eigvalsh(covariance(picture)).min() < 2 * colors.LEAST_VARIANCE:
        return  # one of the cases below
    matched = colors.match(picture, reference)
    assert matched.shape == picture.shape and matched.dtype == np.float32
    np.testing.assert_allclose(mean(matched), mean(reference), atol=1e-5)
    np.testing.assert_allclose(covariance(matched), covariance(reference), atol=1e-6)


def test_most_random_pictures_are_not_one_of_the_cases_below():
    smallest = [np.linalg.eigvalsh(covariance(colourful(seed))).min() for seed in range(40)]
    assert np.mean(np.array(smallest) > 2 * colors.LEAST_VARIANCE) > 0.8


def test_a_picture_matched_to_itself_stays():
    picture = colourful(7)
    np.testing.assert_allclose(colors.match(picture, picture), picture, atol=1e-5)


def test_the_roots_are_those_of_the_paper():
    """Against SciPy's square roots of matrices, which take another way."""
    from scipy.linalg import inv, sqrtm

    picture, reference = colourful(8), colourful(9)
    matrix = sqrtm(covariance(reference)) @ inv(sqrtm(covariance(picture)))
    expected = (picture - mean(picture)) @ matrix.T + mean(reference)
    np.testing.assert_allclose(colors.match(picture, reference), expected, atol=1e-5)


def test_a_grey_painting_gets_shades_of_one_colour():
    """The mean is the photograph's, and the variance along the photograph's colours that the grey axis reaches."""
    painting, photograph = grey_of(1), colourful(2)
    matched = colors.match(painting, photograph)
    np.testing.assert_allclose(mean(matched), mean(photograph), atol=1e-5)
    assert np.linalg.matrix_rank(covariance(matched), tol=1e-8) == 1
    axis = np.full(3, 3**-0.5)
    assert np.trace(covariance(matched)) == pytest.approx(axis @ covariance(photograph) @ axis, rel=1e-4)


def test_a_nearly_grey_painting_gets_no_colours_of_its_rounding():
    """A grey JPEG has chroma of a fraction of a grey level."""
    painting = grey_of(1) + np.random.default_rng(0).uniform(-0.5 / 255, 0.5 / 255, (24, 31, 3)).astype(np.float32)
    matched = colors.match(painting, colourful(2))
    np.testing.assert_allclose(matched, colors.match(grey_of(1), colourful(2)), atol=0.02)


def test_a_grey_photograph_makes_the_painting_grey():
    matched, photograph = colors.match(colourful(1), grey_of(2)), grey_of(2)
    assert np.ptp(matched, axis=2).max() < 1e-5
    np.testing.assert_allclose(covariance(matched), covariance(photograph), atol=1e-6)


def test_both_grey():
    matched, photograph = colors.match(grey_of(1), grey_of(2)), grey_of(2)
    assert np.ptp(matched, axis=2).max() < 1e-5
    np.testing.assert_allclose(covariance(matched), covariance(photograph), atol=1e-6)
    np.testing.assert_allclose(mean(matched), mean(photograph), atol=1e-5)


@pytest.mark.parametrize("reference", [FLAT, grey_of(2), colourful(3)], ids=["one colour", "grey", "colourful"])
def test_one_colour_becomes_the_mean(reference):
    flat = np.full((4, 5, 3), [0.9, 0.1, 0.3])
    np.testing.assert_allclose(colors.match(flat, reference), np.broadcast_to(mean(reference), (4, 5, 3)), atol=1e-5)


@pytest.mark.parametrize("picture", [FLAT, grey_of(2), colourful(3)], ids=["one colour", "grey", "colourful"])
def test_a_photograph_of_one_colour_is_all_that_is_left(picture):
    matched = colors.match(picture, FLAT)
    np.testing.assert_allclose(matched, np.broadcast_to(FLAT[0, 0], picture.shape), atol=1e-5)


def test_the_picture_is_left_alone():
    picture, reference = colourful(1), colourful(2)
    before = picture.copy(), reference.copy()
    colors.match(picture, reference)
    colors.with_luminance(picture, colors.luminance(reference))
    colors.match_luminance(colors.luminance(picture), colors.luminance(reference))
    np.testing.assert_array_equal((picture, reference), before)
