"""The moments of colours and features, against NumPy's."""

import numpy as np

from styletransfer.pictures.moments import mixed, moments, power


def values(seed, height=40, width=30, channels=5):
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(channels, channels))
    return (generator.normal(size=(height, width, channels)) @ mixing + 100).astype(np.float32)


def covariance(array):
    return np.cov(np.asarray(array, dtype=np.float64).reshape(-1, array.shape[-1]).T, bias=True)


def mean(array):
    return np.asarray(array, dtype=np.float64).mean(axis=(0, 1))


def test_moments_are_those_of_numpy():
    features = values(5)
    found = moments(features)
    np.testing.assert_allclose(found.mean, mean(features), atol=1e-10)
    np.testing.assert_allclose(found.covariance, covariance(features), atol=1e-10)


def test_moments_with_a_mask_count_every_pixel_by_its_value():
    features, mask = values(5, 24, 30), np.zeros((24, 30))
    mask[:8], mask[8:12] = 1, 0.5
    found = moments(features, mask)
    counted = np.concatenate([features[:8], features[:8], features[8:12]])
    np.testing.assert_allclose(found.mean, mean(counted), atol=1e-10)
    np.testing.assert_allclose(found.covariance, covariance(counted), atol=1e-10)


def test_mixed_moments_are_those_of_all_values_together():
    first, second = values(1, 10, 30), values(2, 20, 30)
    found = mixed([(1 / 3, moments(first)), (2 / 3, moments(second))])
    together = np.concatenate([first, second])
    np.testing.assert_allclose(found.mean, mean(together), atol=1e-10)
    np.testing.assert_allclose(found.covariance, covariance(together), atol=1e-10)


def test_powers_of_a_covariance():
    matrix = covariance(values(3))
    np.testing.assert_allclose(power(matrix, 0.5) @ power(matrix, 0.5), matrix, atol=1e-10)
    np.testing.assert_allclose(power(matrix, -0.5) @ matrix @ power(matrix, -0.5), np.eye(5), atol=1e-10)


def test_a_negative_power_of_a_singular_matrix_is_the_pseudo_inverse():
    matrix = np.diag([4.0, 1.0, 1e-9])
    np.testing.assert_allclose(power(matrix, -0.5, least=1e-6), np.diag([0.5, 1.0, 0.0]), atol=1e-12)
