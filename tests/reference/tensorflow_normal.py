"""`tf.random_normal` of TensorFlow 1 on a processor: Philox 4x32-10, and Box-Muller in float32.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw: Parallel Random Numbers: As Easy as 1, 2, 3, 2011.
"""

from __future__ import annotations

import numpy as np

_MULTIPLIERS, _INCREMENTS = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF


def normal(count: int, seed: int, operation: int) -> np.ndarray:
    """`count` values with mean 0 and standard deviation 1, for the seeds of a graph and of an operation in it."""
    found: list[np.float32] = []
    for group in range((count + 3) // 4):
        draws = _uniform(_philox((group, 0, operation, 0), (seed, 0)))
        for radius, angle in (draws[:2], draws[2:]):
            length = np.sqrt(-2 * np.log(max(radius, np.float32(1e-7))))
            angle *= np.float32(2 * np.pi)
            found += [np.sin(angle) * length, np.cos(angle) * length]
    return np.array(found[:count], np.float32)


def _philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> list[int]:
    a, b, c, d = counter
    for _ in range(10):
        first, second = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (second >> 32) ^ b ^ key[0], second & _LOW, (first >> 32) ^ d ^ key[1], first & _LOW
        key = ((key[0] + _INCREMENTS[0]) & _LOW, (key[1] + _INCREMENTS[1]) & _LOW)
    return [a, b, c, d]


def _uniform(integers: list[int]) -> np.ndarray:
    """Values in 0..1 with the last 23 bits of each integer."""
    return (np.array(integers, np.uint32) & 0x7FFFFF).astype(np.float32) / np.float32(2**23)
