"""Total variation: energies and gradients against closed forms and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import ENGINE, finite_differences, number, relative_error, to_array, to_numpy
from hypothesis import given
from hypothesis import strategies as st
from reference import formulas

from styletransfer.losses import total_variation

KERNEL = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]]) / 8
ENERGIES = {
    "laplacian": formulas.laplacian_energy,
    "squared": formulas.squared_energy,
    "power": formulas.power_energy,
}
sides = st.integers(2, 9)
seeds = st.integers(0, 2**32 - 1)


def drawn(height, width, seed):
    return np.random.default_rng(seed).normal(0.0, 50.0, (3, height, width)).astype(np.float32)


def energy_and_gradient(kind, image):
    energy, gradient = total_variation.KINDS[kind](ENGINE).energy_and_gradient(to_array(image[None]))
    return number(energy), to_numpy(gradient)[0]


def filtered(image):
    """K x, value by value, with zero padding."""
    padded = np.pad(image.astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    result = np.empty(image.shape)
    for channel, y, x in np.ndindex(image.shape):
        result[channel, y, x] = np.sum(KERNEL * padded[channel, y : y + 3, x : x + 3])
    return result


@pytest.mark.parametrize("kind", ENERGIES)
@given(height=sides, width=sides, seed=seeds)
def test_energies_match_closed_forms(kind, height, width, seed):
    image = drawn(height, width, seed)
    energy, _ = energy_and_gradient(kind, image)
    assert energy == pytest.approx(ENERGIES[kind](image.astype(np.float64)), rel=1e-5)


@given(height=sides, width=sides, seed=seeds)
def test_the_laplacian_gradient_is_the_filtered_image(height, width, seed):
    image = drawn(height, width, seed)
    energy, gradient = energy_and_gradient("laplacian", image)
    assert relative_error(gradient, filtered(image)) < 1e-6
    assert energy == pytest.approx(0.5 * np.sum(image * filtered(image)), rel=1e-5)


@given(height=sides, width=sides, seed=seeds)
def test_the_squared_gradient_is_sixteen_laplacians_inside(height, width, seed):
    image = drawn(height, width, seed)
    _, gradient = energy_and_gradient("squared", image)
    inside = np.s_[:, 1:-1, 1:-1]
    np.testing.assert_allclose(gradient[inside], 16 * filtered(image)[inside], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", ENERGIES)
def test_gradients_match_finite_differences(kind):
    image = drawn(3, 4, seed=3)
    variation = total_variation.KINDS[kind](ENGINE)
    expected = finite_differences(
        lambda x: number(variation.energy_and_gradient(to_array(x[None]))[0]),
        image,
        step=10.0 if kind != "power" else 0.5,  # exact for quadratic energies
    )
    assert relative_error(energy_and_gradient(kind, image)[1], expected) < 1e-3


def test_the_power_energy_in_numbers():
    image = np.zeros((3, 2, 2), np.float32)
    image[1] = [[1.0, 4.0], [5.0, 100.0]]  # 3 to the right, 4 down: 25 to the power of 1.25; the corner does not count
    energy, gradient = energy_and_gradient("power", image)
    assert energy == pytest.approx(5**2.5, rel=1e-6)
    slope = 2.5 * 25**0.25
    np.testing.assert_allclose(gradient[1], [[-7 * slope, 3 * slope], [4 * slope, 0]], rtol=1e-6)
    assert not gradient[[0, 2]].any()


def test_a_grey_picture_costs_nothing_but_the_laplacian_border():
    grey = np.full((3, 6, 7), 10.0, np.float32)
    for kind in ("squared", "power"):
        energy, gradient = energy_and_gradient(kind, grey)
        assert energy == 0 and not gradient.any()
    # Every border value has one zero beyond it, a corner two: 2 x (6 + 7) a channel.
    assert energy_and_gradient("laplacian", grey)[0] == pytest.approx(3 * 26 * 10.0**2 / 16)


@pytest.mark.parametrize("kind", ENERGIES)
def test_a_second_call_forgets_the_first(kind):
    variation = total_variation.KINDS[kind](ENGINE)
    first, second = drawn(4, 5, seed=1), drawn(4, 5, seed=2)
    variation.energy_and_gradient(to_array(first[None]))
    energy, gradient = variation.energy_and_gradient(to_array(second[None]))
    expected_energy, expected_gradient = energy_and_gradient(kind, second)
    assert number(energy) == expected_energy
    np.testing.assert_array_equal(to_numpy(gradient)[0], expected_gradient)


@pytest.mark.parametrize("kind", ENERGIES)
@pytest.mark.parametrize("shape", [(1, 6), (6, 1), (1, 1)])
def test_a_single_row_or_column_is_accepted(kind, shape):
    image = drawn(*shape, seed=4)
    energy, gradient = energy_and_gradient(kind, image)
    assert energy == pytest.approx(ENERGIES[kind](image.astype(np.float64)), rel=1e-5)
    assert gradient.shape == image.shape
