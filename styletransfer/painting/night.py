"""A swirling night sky over a village, after Vincent van Gogh's The Starry Night (1889).

Painted from the back to the front: sky, stars and moon, hills, bushes, village, cypress. Places are in shares
(u, v) of the picture's width and height, radii in units of 1/768 of its height; colours are RGB 0..255, and a
palette runs from dark to light.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .strokes import Canvas, Map, blend, grid, noise, smear, smooth_step, unit_of

SKY = [
    (4, 8, 26),
    (10, 26, 74),
    (24, 58, 142),
    (34, 92, 182),
    (58, 138, 202),
    (116, 190, 214),
    (206, 228, 196),
]
BAND = [(30, 74, 150), (80, 150, 196), (150, 200, 190), (224, 222, 130), (250, 234, 120), (255, 248, 200)]
STAR = [
    (46, 108, 178),
    (96, 168, 190),
    (176, 206, 150),
    (226, 206, 70),
    (250, 220, 70),
    (255, 246, 170),
    (255, 255, 236),
]
MOON = [(110, 160, 150), (200, 190, 80), (246, 206, 50), (255, 176, 10), (255, 150, 0)]
HILL = [(4, 8, 24), (12, 24, 62), (22, 46, 108), (44, 86, 156), (92, 150, 196)]
BUSH = [(2, 8, 14), (6, 26, 36), (14, 58, 76), (40, 110, 140), (120, 186, 196), (206, 222, 180)]
CYPRESS = [(2, 4, 6), (8, 18, 16), (18, 36, 26), (44, 30, 20), (70, 64, 34), (168, 146, 80)]
ROOF = [(6, 12, 28), (20, 44, 84), (50, 110, 150), (110, 170, 190)]
WALL = [(8, 18, 40), (30, 70, 110), (90, 140, 160), (190, 206, 180)]
WINDOW = [(230, 150, 10), (255, 200, 40), (255, 236, 120)]

STARS = [  # u, v, radius of the core, and how warm it is, from 0 white to 1 golden
    (0.225, 0.075, 17, 0.9),
    (0.318, 0.285, 11, 0.8),
    (0.030, 0.445, 10, 0.2),
    (0.113, 0.480, 13, 0.9),
    (0.345, 0.550, 30, 0.1),
    (0.712, 0.155, 18, 0.4),
    (0.620, 0.010, 15, 0.6),
    (0.060, 0.140, 9, 0.5),
    (0.830, 0.390, 9, 0.3),
    (0.450, 0.045, 8, 0.5),
]
MOON_AT = (0.915, 0.120, 44)  # u, v, radius
SWIRLS = [(0.475, 0.300, 150, 0.34), (0.685, 0.500, 84, 0.30)]  # u, v, radius, how openly the arms wind
BUSHES = [  # v, radius, how many, and how many houses behind; from far to near
    (0.815, 17, 26, 0),
    (0.855, 21, 24, 2),
    (0.90, 26, 22, 5),
    (0.955, 34, 20, 8),
]
CHURCH = [  # palette, tone, lean of the strokes (radians), corners (units to the right and up)
    (WALL, 0.5, 1.57, [(14, -20), (66, -20), (66, 26), (14, 26)]),
    (ROOF, 0.85, 0.1, [(10, 24), (74, 24), (58, 54), (16, 54)]),
    (WALL, 0.9, 1.57, [(-54, -20), (-10, -20), (-10, 34), (-32, 56), (-54, 34)]),
    (ROOF, 0.7, -0.8, [(-64, 28), (-32, 66), (-28, 56), (-56, 24)]),
    (ROOF, 0.3, 0.8, [(-32, 66), (0, 28), (-6, 24), (-34, 56)]),
    (WALL, 0.6, 1.57, [(-14, -20), (16, -20), (16, 70), (-14, 70)]),
    (ROOF, 0.9, 1.5, [(-19, 68), (4, 68), (1, 205)]),
    (ROOF, 0.25, 1.65, [(4, 68), (20, 68), (1, 205)]),
]
TONGUES = [  # of the cypress: u of the foot, u and v of the tip, half a width as a share, phase of the sway
    (0.150, 0.142, 0.28, 0.034, 0.4),
    (0.290, 0.262, 0.60, 0.034, 2.0),
    (0.085, 0.118, 0.66, 0.030, 5.2),
    (0.330, 0.415, 0.84, 0.026, 1.4),
    (0.190, 0.182, -0.06, 0.066, 0.0),
    (0.240, 0.240, 0.40, 0.042, 1.1),
    (0.110, 0.128, 0.52, 0.034, 2.6),
    (0.180, 0.170, 0.46, 0.062, 3.4),
    (0.260, 0.285, 0.70, 0.060, 4.2),
    (0.150, 0.160, 0.72, 0.060, 1.9),
]


def paint(height: int, width: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Paint the night; (height, width, 3) RGB."""
    canvas = Canvas(height, width, (6, 14, 40), rng)
    _sky(canvas)
    _stars(canvas)
    _hills(canvas)
    _village(canvas)
    _cypress(canvas)
    return canvas.finish(relief=0.65, sharpen=1.0)


def _polar(canvas: Canvas, u: float, v: float) -> tuple[Map, Map]:
    """Distance in units from the place (u, v), and the angle there in radians; each (H, W)."""
    across, down = grid(canvas.height, canvas.width)
    x, y = (across - u) * canvas.width, (down - v) * canvas.height
    return np.hypot(x, y) / unit_of(canvas.height), np.arctan2(y, x)


def _crest(u: NDArray) -> NDArray:
    """The v at which the hills end and the sky begins."""
    return 0.80 - 0.17 * u**2.2 + 0.035 * np.sin(9.0 * u + 0.3) + 0.012 * np.sin(23 * u + 1)


def _sky_flow(canvas: Canvas) -> tuple[Map, Map]:
    """Direction of the sky's strokes, and how light (-1..1) the arms of the swirls are; each (H, W)."""
    u, v = grid(canvas.height, canvas.width)
    wave = 0.30 * np.sin(6.5 * u + 1.0 + 2 * v) + 0.10 * noise(canvas.height, canvas.width, 60, canvas.rng)
    rise = -0.75 * smooth_step(u, 0.55, 1.0) * smooth_step(v, 0.35, 0.62)
    flow = (wave + rise).astype(np.float32)
    light = np.zeros_like(u)
    for at_u, at_v, radius, pitch in SWIRLS:
        distance, angle = _polar(canvas, at_u, at_v)
        turn = angle + np.pi / 2 + pitch * smooth_step(distance, 2.2 * radius, 0.2 * radius)
        near = np.exp(-((distance / (1.25 * radius)) ** 4))
        flow = blend(flow, turn.astype(np.float32), near)
        arms = np.cos(2 * (angle + 0.62 * np.log(distance / radius + 0.12) / np.tan(pitch + 0.1)))
        light = light * (1 - near) + near * arms
    return flow, light


def _sky(canvas: Canvas) -> None:
    height, width, rng = canvas.height, canvas.width, canvas.rng
    u, v = grid(height, width)
    flow, swirl = _sky_flow(canvas)
    halo = np.zeros_like(u)
    for at_u, at_v, radius, *_ in [*STARS, MOON_AT]:
        distance, angle = _polar(canvas, at_u, at_v)
        ring = np.exp(-((distance / (3.4 * radius)) ** 3))
        flow = blend(flow, (angle + np.pi / 2).astype(np.float32), ring)
        halo = np.maximum(halo, np.exp(-((distance / (3.0 * radius)) ** 2)))
    streams = smear(noise(height, width, 8, rng), flow, 150)
    tone = 0.54 + 0.10 * smooth_step(v, 0.0, 0.6) + 0.14 * streams + 0.20 * swirl + 0.18 * halo
    for size, length, coverage, spread in ((10, 62, 2.0, 0.10), (6.5, 44, 1.5, 0.15), (4.2, 30, 1.0, 0.18)):
        canvas.strokes(flow, SKY, tone, width=size, length=length, coverage=coverage, spread=spread)
    # The pale band of light that comes down to the hills, the stream above it, and the crests of the swirls.
    middle = _crest(u) - 0.09 + 0.03 * np.sin(7 * u + 2)
    band = np.exp(-(((v - middle) / 0.06) ** 2)) * (0.7 + 0.3 * np.sin(9 * u))
    stream_at = 0.22 + 0.10 * np.sin(6.5 * u + 0.4)
    stream = np.exp(-(((v - stream_at) / 0.06) ** 2)) * smooth_step(u, 0.66, 0.5)
    bright = np.maximum(band, np.maximum(0.6 * stream, 0.8 * np.clip(swirl, 0, 1)))
    bright = np.maximum(bright, 0.16) * smooth_step(streams, -1.0, 0.8)
    tone = 0.30 + 0.5 * bright
    canvas.strokes(flow, BAND, tone, width=6.0, length=42, coverage=2.6, spread=0.18, density=bright)
    dark = smooth_step(streams, 0.5, -1.2) * (1 - bright) * (1 - halo)
    canvas.strokes(flow, SKY, 0.14, width=4.5, length=40, coverage=0.6, spread=0.08, density=dark)


def _stars(canvas: Canvas) -> None:
    for at_u, at_v, radius, warmth in STARS:
        distance, angle = _polar(canvas, at_u, at_v)
        around = (angle + np.pi / 2).astype(np.float32)
        share = distance / radius
        glow = 1.02 - 0.20 * share - 0.16 * warmth * np.exp(-(((share - 1.2) / 0.7) ** 2))
        canvas.strokes(
            around,
            STAR,
            glow,
            width=5,
            length=22,
            coverage=2.2,
            spread=0.15,
            stray=0.2,
            density=0.8 * smooth_step(share, 3.9, 1.5),
            mask=share < 4,
        )
        core = share < 0.9
        canvas.strokes(around, STAR, 0.98, width=4.5, length=9, coverage=3, spread=0.06, mask=core)
        if warmth > 0.5:
            canvas.strokes(around, MOON, 0.75, width=4, length=7, coverage=2, spread=0.15, mask=share < 0.55)
    at_u, at_v, radius = MOON_AT
    distance, angle = _polar(canvas, at_u, at_v)
    share = distance / radius
    around = (angle + np.pi / 2).astype(np.float32)
    canvas.strokes(
        around,
        STAR,
        1.04 - 0.21 * share,
        width=7,
        length=34,
        coverage=2.6,
        spread=0.14,
        stray=0.15,
        density=smooth_step(share, 3.6, 1.7),
        mask=share < 3.6,
    )
    bite, _ = _polar(canvas, at_u + 0.016, at_v - 0.012)
    disc = share < 1
    canvas.strokes(around, STAR, 0.76, width=5.5, length=18, coverage=5, spread=0.07, mask=disc)
    canvas.strokes(around, MOON, 0.88, width=6, length=26, coverage=5, spread=0.12, mask=disc & (bite > 0.74 * radius))


def _hills(canvas: Canvas) -> None:
    height, width, rng = canvas.height, canvas.width, canvas.rng
    u, v = grid(height, width)
    crest = _crest(u)
    ridges = [
        (crest, 0.50, 0.25),
        (crest + 0.05 + 0.03 * np.sin(8 * u + 4), 0.40, 0.5),
        (0.86 - 0.05 * u + 0.02 * np.sin(13 * u), 0.40, -0.3),
    ]
    for ridge, light, lean in ridges:
        below = v > ridge
        slope = np.gradient(ridge, axis=1) * height
        along = np.arctan(slope).astype(np.float32)
        falling = blend(along, along + np.float32(lean + 0.4), np.clip((v - ridge) / 0.06, 0, 1))
        streams = smear(noise(height, width, 8, rng), falling, 60)
        tone = light + 0.16 * streams - 0.3 * smooth_step(v - ridge, 0.02, 0.10)
        canvas.strokes(falling, HILL, tone, width=7, length=34, coverage=2.6, spread=0.10, mask=below)
        canvas.strokes(falling, HILL, tone + 0.25, width=4, length=26, coverage=0.5, spread=0.12, mask=below)
        canvas.strokes(along, HILL, 0.04, width=6, length=46, coverage=3, spread=0.05, mask=np.abs(v - ridge) < 0.005)


def _village(canvas: Canvas) -> None:
    height, width, rng = canvas.height, canvas.width, canvas.rng
    unit = unit_of(height)
    for row, size, count, houses in BUSHES:
        for at_u in rng.permutation((np.arange(count) + rng.uniform(0.0, 1.0, count)) / count):
            at_v = row - 0.06 * float(smooth_step(at_u, 0.6, 1.0)) + rng.normal(0, 0.008)
            _bush(canvas, at_u, at_v, size * rng.uniform(0.8, 1.3))
        for at_u in (np.arange(houses) + rng.uniform(0.1, 0.9, houses)) / max(houses, 1):
            at_v = row + 0.045 - 0.03 * float(smooth_step(at_u, 0.5, 1.0))
            wide = rng.uniform(1.1, 1.6) * size * unit
            _house(canvas, (0.40 + 0.58 * at_u) * width, at_v * height, wide)
    for palette, tone, lean, corners in CHURCH:
        places = [(0.565 * width + x * unit, 0.985 * height - y * unit) for x, y in corners]
        _shape(canvas, places, palette, tone, lean)


def _bush(canvas: Canvas, at_u: float, at_v: float, radius: float) -> None:
    """Arcs one over another like a bent back, pale towards the upper left and dark below."""
    distance, _ = _polar(canvas, at_u, at_v)
    lean = canvas.rng.uniform(-0.3, 0.3)
    from_foot, angle = _polar(canvas, at_u + lean * radius / 1024, at_v + 0.8 * radius / 768)
    lit = 0.75 + 0.5 * np.cos(angle + 2.0)
    tone = 0.10 + 0.55 * lit * np.clip(from_foot / (1.8 * radius), 0, 1) ** 2
    around = (angle + np.pi / 2).astype(np.float32)
    canvas.strokes(around, BUSH, tone, width=4.5, length=18, coverage=3, spread=0.14, mask=distance < radius)


def _shape(
    canvas: Canvas,
    corners: list[tuple[float, float]],
    palette: list[tuple[int, int, int]],
    tone: float,
    lean: float,
    outline: float = 3.0,
) -> None:
    """A polygon filled with strokes, inside a dark outline.

    Parameters
    ----------
    corners : (x, y) in pixels
    tone : the place on the palette, 0..1
    lean : direction of the strokes, radians
    outline : its width in units; 0 for none
    """
    image = Image.new("1", (canvas.width, canvas.height))
    ImageDraw.Draw(image).polygon(corners, fill=1)
    direction = np.full((canvas.height, canvas.width), lean, dtype=np.float32)
    canvas.strokes(direction, palette, tone, width=4.5, length=20, coverage=5, mask=np.asarray(image))
    if outline:
        canvas.line([*corners, corners[0]], outline, ROOF[0])


def _house(canvas: Canvas, x: float, y: float, size: float) -> None:
    """A house about `size` pixels wide that stands at (x, y) in pixels; in most, there is light."""
    rng = canvas.rng
    half, tall = size * rng.uniform(0.45, 0.7), size * rng.uniform(0.4, 0.55)
    wall = [(x - half, y), (x + half, y), (x + half, y - tall), (x - half, y - tall)]
    _shape(canvas, wall, WALL, rng.uniform(0.3, 0.9), np.pi / 2)
    eaves, ridge = y - tall, y - 2 * tall
    roof = [
        (x - 1.2 * half, eaves),
        (x + 1.2 * half, eaves),
        (x + 0.7 * half, ridge),
        (x - 0.8 * half, ridge),
    ]
    _shape(canvas, roof, ROOF, rng.uniform(0.4, 0.9), 0.1)
    if rng.random() < 0.75:
        left = x + half * rng.uniform(-0.6, 0.0)
        right, low, high = left + 0.30 * size, y - 0.15 * tall, y - 0.8 * tall
        window = [(left, low), (right, low), (right, high), (left, high)]
        _shape(canvas, window, WINDOW, 0.5, np.pi / 2, outline=0)


def _cypress(canvas: Canvas) -> None:
    """A dark flame: tongues of one tree, each a spine that sways and a width that swells and closes."""
    width = canvas.width
    u, v = grid(canvas.height, width)
    for foot, tip, top, half, phase in TONGUES:
        up = np.clip((1.02 - v) / (1.02 - top), 0, 1)
        spine = foot + (tip - foot) * up + 0.014 * np.sin(13 * v + phase) * (0.4 + up)
        reach = half * (1 - up) ** 0.8 * (1 + 0.25 * np.sin(17 * v + 2 * phase)) + 0.0015
        across = (u - spine) / reach
        inside = (np.abs(across) < 1) & (v > top)
        slope = np.gradient(spine, axis=0) * width + across * np.gradient(reach, axis=0) * width
        climb = np.arctan2(np.ones_like(slope), slope).astype(np.float32)
        lock = np.sin(5 * across + 9 * v + phase)  # locks of foliage, dark between
        tone = 0.24 + 0.16 * lock - 0.18 * smooth_step(np.abs(across), 0.6, 1.0)
        canvas.strokes(climb, CYPRESS, tone, width=6.5, length=50, coverage=3.5, spread=0.11, mask=inside)
        canvas.strokes(
            climb, CYPRESS, 0.08, width=4, length=50, coverage=2.5, spread=0.08, mask=inside & (np.abs(across) > 0.75)
        )
        canvas.strokes(climb, CYPRESS, 0.85, width=3, length=26, coverage=0.16, spread=0.15, mask=inside)
        canvas.strokes(climb, CYPRESS, 0.55, width=3.5, length=44, coverage=0.20, spread=0.08, mask=inside)
