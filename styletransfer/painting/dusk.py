"""A burning evening sky over a fjord, in long wavering strokes, after Edvard Munch's The Scream (1893).

Every part of the picture is a map whose contour lines the strokes follow and whose value chooses the colour,
so that bands of colour flow around one another. Places are in shares (u, v) of the picture's width and
height; colours are RGB 0..255.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .strokes import Canvas, Map, contours, grid, noise, smear, smooth_step

GROUND = (120, 84, 48)
RED, ORANGE, AMBER, CREAM = (206, 38, 14), (236, 104, 18), (246, 170, 48), (240, 216, 150)
TEAL, NAVY, BLUE, INK = (84, 142, 122), (18, 32, 66), (46, 78, 128), (10, 12, 22)
BROWN, OCHRE, OLIVE = (92, 46, 24), (190, 126, 52), (62, 66, 40)

SKY = [
    ORANGE,
    RED,
    RED,
    AMBER,
    CREAM,
    TEAL,
    AMBER,
    RED,
    RED,
    RED,
    ORANGE,
    AMBER,
    CREAM,
    AMBER,
    ORANGE,
    RED,
    RED,
    TEAL,
    CREAM,
    AMBER,
    ORANGE,
    RED,
    RED,
    ORANGE,
    AMBER,
    CREAM,
    AMBER,
    ORANGE,
]
BAY = [
    CREAM,
    AMBER,
    CREAM,
    ORANGE,
    AMBER,
    TEAL,
    AMBER,
    BLUE,
    NAVY,
    TEAL,
    NAVY,
    INK,
    BLUE,
    NAVY,
    INK,
    BLUE,
    TEAL,
    NAVY,
    OLIVE,
    NAVY,
    INK,
    OCHRE,
    OLIVE,
    INK,
    BROWN,
    OCHRE,
    INK,
    TEAL,
    OLIVE,
    NAVY,
    OCHRE,
    INK,
]
LAND = [INK, NAVY, INK, BLUE, NAVY, INK, TEAL, NAVY, INK, NAVY]
BOARDS = [
    BROWN,
    OCHRE,
    INK,
    BROWN,
    ORANGE,
    BROWN,
    OLIVE,
    OCHRE,
    INK,
    RED,
    BROWN,
    OCHRE,
    CREAM,
    BROWN,
    INK,
    OLIVE,
    OCHRE,
    BROWN,
    INK,
    ORANGE,
    OCHRE,
    BROWN,
    NAVY,
    OCHRE,
    BROWN,
    INK,
    OCHRE,
    RED,
    BROWN,
    INK,
]
RAIL = [INK, BROWN, RED, ORANGE, AMBER, BROWN, INK]
POST = [INK, BROWN, OCHRE]
COAT = [INK, NAVY, INK, INK, BLUE, INK, OLIVE, INK, NAVY, INK]

VANISHING = (-0.06, 0.40)  # where the lines of the bridge meet
WALKERS = [(0.07, 0.555, 0.22), (0.14, 0.625, 0.28)]  # u, v of the feet, height in heights of the picture


def paint(height: int, width: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Paint the dusk; (height, width, 3) RGB."""
    canvas = Canvas(height, width, GROUND, rng)
    u, v = grid(height, width)
    _sky(canvas, u, v)
    _bay(canvas, u, v)
    _land(canvas, u, v)
    _bridge(canvas, u, v)
    for walker in WALKERS:
        _walker(canvas, u, v, *walker)
    return canvas.finish(relief=0.4, sharpen=0.8)


def _bands(
    canvas: Canvas, form: Map, palette: ArrayLike, mask: NDArray, size: float = 1.0, spread: float = 0.03
) -> None:
    """Long strokes along the contours of `form`, broad ones first and fine ones over them.

    Parameters
    ----------
    form : (H, W) place on the palette, 0..1
    palette : (n, 3) RGB 0..255
    mask : (H, W) bool; where to paint
    size : of the strokes; 1 is 13 x 150 units for the broad ones
    spread : deviation of a stroke's place on the palette
    """
    flow = contours(form)
    for width, length, coverage, loose in ((13, 150, 2.2, 1.0), (8, 190, 1.2, 1.5), (3.6, 200, 0.5, 3.0)):
        canvas.strokes(
            flow,
            palette,
            form,
            width=width * size,
            length=length * size,
            coverage=coverage,
            spread=spread * loose,
            mask=mask,
            streak=0.24,
            stray=0.05,
        )


def _horizon(u: NDArray) -> NDArray:
    """The v of the far hills' crest."""
    return 0.405 - 0.035 * np.sin(4.4 * u + 0.6) - 0.06 * smooth_step(u, 0.55, 0.95)


def _sky(canvas: Canvas, u: Map, v: Map) -> None:
    drift = noise(canvas.height, canvas.width, 55, canvas.rng)
    waves = 0.10 * np.sin(5.6 * u + 5.0 * v) + 0.050 * np.sin(10 * u - 9 * v + 1.0)
    form = 0.08 + 1.75 * v + waves + 0.022 * drift
    _bands(canvas, form, SKY, v < _horizon(u) + 0.02)


def _bay(canvas: Canvas, u: Map, v: Map) -> None:
    """Bright water, and the dark shore that winds about it and turns down to the right."""
    across = (u - 0.30 - 0.35 * (v - 0.5)) * 1.05
    down = (v - 0.47 - 0.05 * np.sin(7 * u)) * (2.7 - 1.5 * smooth_step(u, 0.45, 0.8))
    ring = np.hypot(across, down)
    turn = np.arctan2(down, across)
    drift = noise(canvas.height, canvas.width, 50, canvas.rng)
    form = 0.95 * ring + 0.035 * np.sin(3 * turn + 8 * ring) + 0.022 * np.sin(7 * turn + 3) + 0.014 * drift
    _bands(canvas, form, BAY, v > _horizon(u))


def _land(canvas: Canvas, u: Map, v: Map) -> None:
    crest = _horizon(u)
    shore = 0.435 + 0.015 * np.sin(9 * u) + 0.02 * smooth_step(u, 0.6, 0.9)
    form = np.clip((v - crest) / (shore - crest + 1e-3), 0, 1) + 0.10 * np.sin(13 * u)
    _bands(canvas, form.astype(np.float32), LAND, (v > crest) & (v < shore), size=0.7, spread=0.08)


def _bridge(canvas: Canvas, u: Map, v: Map) -> None:
    """Boards and rails, all of whose lines meet at one point."""
    # The steepness of the line from that point through each place.
    slope = (v - VANISHING[1]) / np.maximum(u - VANISHING[0], 1e-3)
    boards = slope > 0.62
    drift = smear(noise(canvas.height, canvas.width, 12, canvas.rng), contours(slope), 300)
    form = np.clip(np.arctan(slope) - 0.55, 0, 1) / 1.02 + 0.007 * drift
    _bands(canvas, form.astype(np.float32), BOARDS, boards, spread=0.04)
    for low, high in ((0.36, 0.43), (0.50, 0.535), (0.62, 0.66)):
        rail = (slope > low) & (slope < high)
        _bands(canvas, ((slope - low) / (high - low)).astype(np.float32), RAIL, rail, size=0.8, spread=0.10)
    upright = np.full_like(u, np.pi / 2)
    for post in (0.03, 0.16, 0.34, 0.58, 0.90):
        half = 0.004 + 0.016 * post
        inside = (np.abs(u - post) < half) & (slope > 0.38) & (slope < 0.66)
        tone = 0.25 + 0.4 * (u - post) / half
        canvas.strokes(upright, POST, tone, width=7, length=70, coverage=4, spread=0.15, mask=inside)


def _walker(canvas: Canvas, u: Map, v: Map, at_u: float, foot: float, tall: float) -> None:
    """Someone seen from behind, in a long coat and a hat, `tall` of the picture's height."""
    up = (foot - v) / tall
    across = (u - at_u) * canvas.width / canvas.height / tall - 0.03 * np.sin(5 * up)
    coat = 0.11 + 0.035 * np.sin(3.4 * up + 0.4) - 0.09 * smooth_step(up, 0.66, 0.84)
    body = (np.abs(across) < coat) & (up > 0.02 * np.sin(40 * across)) & (up < 0.86)
    folds = np.clip(across / 0.3 + 0.5, 0, 1).astype(np.float32)
    _bands(canvas, folds, COAT, body, size=0.5, spread=0.06)
    head = np.hypot(across / 0.055, (up - 0.89) / 0.07) < 1
    crown = (np.abs(across) < 0.06) & (up > 0.93) & (up < 1.02)
    brim = (np.abs(across) < 0.10) & (np.abs(up - 0.935) < 0.018)
    flat = np.zeros_like(u)
    canvas.strokes(flat, [BROWN, OCHRE], 0.2, width=5, length=12, coverage=5, spread=0.2, mask=head)
    canvas.strokes(flat, [INK, NAVY], 0.3, width=5, length=16, coverage=6, spread=0.3, mask=crown | brim)
