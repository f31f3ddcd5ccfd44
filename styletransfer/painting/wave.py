"""Great waves under a red sun, a woodblock print after Katsushika Hokusai's The Great Wave (c. 1831).

Flat colours inside dark contour lines, printed from the back to the front: sky, sun and mist, mountain,
swells, breakers with foam that ends in claws. Everything is a shape on a plane of 1024 x 768 units, x to the
right and y down; colours are RGB 0..255; angles are in radians.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter

from .strokes import noise, to_bytes, unit_of

Colour = tuple[int, int, int]
Points = NDArray[np.float64]  # (n, 2)

PLANE = (1024, 768)
FINENESS = 3  # the block is cut this much finer than the print

PAPER, CREAM, WHITE, STRAW = (232, 208, 158), (242, 228, 190), (250, 245, 228), (238, 196, 132)
INK, NAVY, BLUE, MID, PALE = (10, 22, 58), (18, 44, 104), (38, 92, 156), (84, 150, 182), (158, 202, 200)
RED, SMOKE = (206, 66, 38), (74, 78, 96)

CIRCLE = np.column_stack([np.cos(np.linspace(0, 2 * np.pi, 36)), np.sin(np.linspace(0, 2 * np.pi, 36))])

# Along a finger of foam: how far it has turned, how wide it still is, and how wide its shade is.
TURNED = np.linspace(0, 1, 22) ** 1.7
THINNED = (1 - np.linspace(0, 1, 22) ** 1.5) ** 0.8
SHADED = 0.38 * np.sqrt(np.linspace(0, 1, 19))

SUN = (815, 185, 108)  # x, y, radius
MIST = [  # x, y, length
    (690, 120, 300),
    (560, 275, 330),
    (860, 320, 260),
    (930, 70, 220),
    (60, 60, 300),
    (20, 250, 200),
    (180, 20, 200),
]
SUMMIT = (575, 425)


class Swell(NamedTuple):
    """A long wave across the whole plane, its back at about y."""

    y: float


class Breaker(NamedTuple):
    """A wave about to break: the place below its crest at the height of the sea, and how high it is.

    It breaks to the right where `facing` is 1, to the left where it is -1.
    """

    x: float
    y: float
    size: float
    facing: int


SEA: list[Swell | Breaker] = [  # from back to front
    Swell(520),
    Swell(556),
    Breaker(950, 570, 190, -1),
    Breaker(690, 590, 80, 1),
    Swell(590),
    Breaker(280, 600, 510, 1),
    Swell(640),
    Breaker(800, 700, 260, -1),
    Swell(700),
    Breaker(430, 770, 150, 1),
    Breaker(90, 770, 200, 1),
    Breaker(980, 800, 150, -1),
]


class Block:
    """A block that prints shapes; positions and widths are in units."""

    def __init__(self, height: int, width: int) -> None:
        self.scale = np.array([width * FINENESS / PLANE[0], height * FINENESS / PLANE[1]])
        self.detail = max(6.0, 4.0 / self.scale.min())  # units; shorter fingers of foam stay single
        self.image = Image.new("RGB", (width * FINENESS, height * FINENESS), PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def fill(self, points: ArrayLike, colour: Colour) -> None:
        """A closed shape with corners (n, 2) in one flat colour."""
        self.draw.polygon((np.asarray(points) * self.scale).ravel().tolist(), fill=colour)

    def line(self, points: Points, width: float, colour: Colour = INK) -> None:
        """A cut line that swells in its middle and runs out to a point at both ends."""
        share = np.linspace(0, 1, len(points))
        self.fill(ribbon(points, width * (0.25 + np.sin(np.pi * share) ** 0.6)), colour)

    def disc(self, centre: ArrayLike, radius: float, colour: Colour) -> None:
        self.fill(np.asarray(centre) + radius * CIRCLE, colour)


def curve(corners: ArrayLike, count: int = 160) -> Points:
    """A smooth curve of `count` points through corners (n, 2)."""
    corners = np.asarray(corners, dtype=float)
    along = np.concatenate([[0], np.cumsum(np.sqrt(np.linalg.norm(np.diff(corners, axis=0), axis=1)))])
    return CubicSpline(along, corners)(np.linspace(0, along[-1], count))


def normals(points: Points) -> Points:
    """The unit vectors (n, 2) to the right of a line, as seen on the plane."""
    along = np.gradient(points, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    return np.column_stack([-along[:, 1], along[:, 0]])


def ribbon(points: Points, widths: NDArray | float, aside: Points | None = None) -> Points:
    """The outline of a band of widths (n,) about a line (n, 2), whose normals may be given."""
    aside = normals(points) if aside is None else aside
    aside = aside * (np.broadcast_to(widths, len(points)) / 2)[:, None]
    return np.concatenate([points + aside, (points - aside)[::-1]])


def paint(height: int, width: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Print the waves; (height, width, 3) RGB."""
    block = Block(height, width)
    _sky(block, rng)
    _mountain(block, rng)
    for water in SEA:
        if isinstance(water, Breaker):
            _breaker(block, water, rng)
        else:
            _swell(block, water, rng)
    picture = np.asarray(block.image.reduce(FINENESS), dtype=np.float32) / 255
    # The grain of the wood, and the paper that took the ink unevenly.
    unit = unit_of(height)
    grain = gaussian_filter(rng.standard_normal((height, width)), (1.2 * unit, 60 * unit))
    grain = 0.035 * grain / grain.std() + 0.02 * noise(height, width, 1, rng)
    return to_bytes(picture * (1 + grain)[..., None], sharpen=0.3)


def _sky(block: Block, rng: np.random.Generator) -> None:
    # Bokashi: the ink is wiped from the block so that the sky darkens towards the horizon.
    for y in range(0, 560, 2):
        share = np.clip((y - 250) / 260, 0, 1) ** 1.5
        red, green, blue = (np.array(CREAM) * (1 - share) + np.array(SMOKE) * share).astype(int).tolist()
        block.fill([(0, y), (1024, y), (1024, y + 3), (0, y + 3)], (red, green, blue))
    x, y, radius = SUN
    for angle in 2 * np.pi * (np.arange(40) + 0.5) / 40:
        way = np.array([np.cos(angle), np.sin(angle)])
        ray: Points = np.array([x, y]) + np.linspace(radius + 16, 900, 30)[:, None] * way
        block.fill(ribbon(ray, np.linspace(2, 49, 30)), STRAW)
    block.disc((x, y), radius + 4, INK)
    block.disc((x, y), radius, RED)
    for bank in MIST:
        _mist(block, *bank, rng)


def _mist(block: Block, x: float, y: float, length: float, rng: np.random.Generator) -> None:
    """A bank of mist: round-ended bars one below another."""
    radius, bars = 8.0, []
    for k in range(4):
        left = x + rng.uniform(-0.35, 0.25) * length
        bars.append(np.array([[left, y + 15 * k], [left + length * rng.uniform(0.5, 0.9), y + 15 * k]]))
    for grow, colour in ((2.0, INK), (0.0, WHITE)):
        for ends in bars:
            block.fill(ribbon(ends, 2 * (radius + grow)), colour)
            for end in ends:
                block.disc(end, radius + grow, colour)
    for ends in bars:
        shade = ends + np.outer([0.25, 0.0], ends[1] - ends[0]) + np.array([0, 0.3 * radius])
        block.fill(ribbon(shade, 5), PALE)
        block.disc(shade[1], 2.5, PALE)


def _mountain(block: Block, rng: np.random.Generator) -> None:
    def place(points: ArrayLike) -> Points:
        return np.array(SUMMIT) + np.asarray(points, dtype=float)

    left = curve(place([(-200, 120), (-105, 80), (-48, 35), (-12, 0)]), 60)
    right = curve(place([(10, 0), (50, 34), (110, 76), (210, 120)]), 60)
    outline = np.concatenate([left, right])
    block.fill(ribbon(outline, 5), INK)
    block.fill(outline, NAVY)
    snow = [
        (-12, 0),
        (10, 0),
        (58, 42),
        (42, 38),
        (36, 62),
        (20, 32),
        (4, 72),
        (-8, 34),
        (-26, 64),
        (-30, 34),
        (-56, 44),
    ]
    block.fill(place(snow), WHITE)
    for x in np.arange(-130, 140, 14):
        top = 52 + abs(x) * 0.30 + rng.uniform(0, 10)
        block.line(curve(place([(x, top), (1.06 * x, top + 20), (1.14 * x, top + 44)]), 20), 3, MID)


def _swell(block: Block, swell: Swell, rng: np.random.Generator) -> None:
    """Print a swell, striped along its back with leaves of colour."""
    y = swell.y
    x = np.linspace(-20, 1044, 240)
    phase, stretch = rng.uniform(0, 2 * np.pi), rng.uniform(150, 210)
    size = 10 + 0.05 * (y - 480)

    def back(depth: float) -> Points:
        sway = np.sin(x / stretch * 2 + phase + depth * 0.01) + 0.5 * np.sin(x / stretch * 4.3 + 2 * phase)
        return np.column_stack([x, y + depth + size * sway * (1 + depth / 150)])

    block.fill(np.concatenate([back(0), [(1044, 800), (-20, 800)]]), PALE)
    block.line(back(0), 4)
    block.line(back(6), 3, WHITE)
    depth = 14.0
    while y + depth < 800:
        line = back(depth)
        first = int(rng.integers(-40, 20))
        while first < len(line):
            count = int(rng.integers(40, 110))
            leaf = line[max(first, 0) : max(first + count, 0)]
            if len(leaf) > 4:
                block.line(leaf, rng.uniform(6, 13), (NAVY, BLUE, NAVY, MID, WHITE)[rng.integers(5)])
            first += count + int(rng.integers(3, 16))
        depth += rng.uniform(8, 12)


class Finger(NamedTuple):
    """A finger of foam: its middle line (n, 2), the line's normals (n, 2), and its widths (n,)."""

    line: Points
    aside: Points
    widths: NDArray[np.float64]


def _claw(start: Points, angle: float, length: float, curl: float, detail: float, depth: int = 2) -> list[Finger]:
    """A finger of foam with smaller ones on its outer side, and so on to `depth`.

    It sets out from `start` towards `angle`, and turns by `curl` up to its tip, ever faster. Fingers
    shorter than `detail` units stay single.
    """
    heading = angle + curl * TURNED
    way = np.column_stack([np.cos(heading), np.sin(heading)])
    line = start + (np.cumsum(way, axis=0) - way) * (length / (len(way) - 1))
    aside = np.column_stack([-way[:, 1], way[:, 0]])
    fingers = [Finger(line, aside, 0.25 * length * THINNED + 0.5)]
    if depth and length > detail:
        for at, turn, size in ((6, -1.0, 0.52), (11, -0.9, 0.48), (15, -0.8, 0.40)):
            root = heading[at] + turn * np.sign(curl)
            fingers += _claw(line[at], root, length * size, curl * 0.95, detail, depth - 1)
    return fingers


def _foam(block: Block, claw: list[Finger], contour: float) -> None:
    """Print one claw: its fingers run together inside one contour line, and each is shaded on one side."""
    for grow, colour in ((contour, INK), (0.0, WHITE)):
        block.disc(claw[0].line[0], 0.52 * claw[0].widths[0] + grow, colour)
        for line, aside, widths in claw:
            block.fill(ribbon(line, widths + 2 * grow, aside), colour)
    shade = slice(len(SHADED))
    for line, aside, widths in claw:
        if widths[0] > 2.0 * contour:
            middle = line + aside * widths[:, None] * 0.2
            block.fill(ribbon(middle[shade], widths[shade] * SHADED, aside[shade]), PALE)


def _breaker(block: Block, breaker: Breaker, rng: np.random.Generator) -> None:
    """Print a breaker: its striped face, its white back, and the foam on it."""
    x, y, size, facing = breaker
    count = 160
    # From the foot to the lip, in sizes to the front and up.
    back = curve(
        [
            (-1.55, -0.35),
            (-1.15, 0.02),
            (-0.75, 0.40),
            (-0.35, 0.78),
            (0.05, 0.98),
            (0.42, 0.98),
            (0.68, 0.80),
            (0.74, 0.58),
        ],
        count,
    )
    face = curve(
        [
            (1.30, -0.35),
            (0.62, -0.12),
            (0.30, 0.10),
            (0.16, 0.36),
            (0.22, 0.60),
            (0.42, 0.72),
            (0.60, 0.68),
            (0.72, 0.56),
        ],
        count,
    )

    def between(share: NDArray | float) -> Points:
        """The line `share` of the way from the back to the face; share (count,) may vary along it."""
        share = np.broadcast_to(share, count)[:, None]
        return np.array([x, y]) + size * (back * (1 - share) + face * share) * (facing, -1)

    contour = max(size / 160, 1.1)
    body = np.concatenate([between(0.0), between(1.0)[::-1]])
    block.fill(ribbon(np.concatenate([body, body[:1]]), 2 * contour), INK)
    block.fill(body, NAVY)
    # Stripes that rise from the foot and draw together at the lip.
    stripes = int(np.clip(size / 25, 9, 18))
    for k, share in enumerate(np.linspace(0.14, 0.96, stripes)):
        start, stop = int(count * rng.uniform(0.0, 0.12)), int(count * rng.uniform(0.72, 0.97))
        run = np.linspace(0, 1, stop - start)
        widths = size * 0.70 / stripes * np.sin(np.pi * (0.08 + 0.92 * run)) ** 0.7 * (1.5 - run)
        line = between(share)[start:stop]
        block.fill(ribbon(line, widths + 1.2 * contour), INK)
        block.fill(ribbon(line, widths), (BLUE, MID, BLUE, PALE)[k % 4])
    block.line(between(1.0), 1.6 * contour)
    # The white back, with shaded folds.
    along = np.linspace(0, 1, count)
    edge = 0.10 + 0.16 * along + 0.02 * np.sin(60 * along)
    block.fill(np.concatenate([between(0.0), between(edge)[::-1]]), WHITE)
    block.line(between(edge), 1.6 * contour)
    block.line(between(0.0), 2.2 * contour)
    for share, wide in ((0.35, 0.020), (0.6, 0.014)):
        block.line(between(edge * share)[20:150], size * wide, PALE)
    _crest(block, breaker, between, edge, rng)


def _crest(
    block: Block,
    breaker: Breaker,
    between: Callable[[NDArray | float], Points],
    edge: NDArray[np.float64],
    rng: np.random.Generator,
) -> None:
    """Foam and spray on a breaker whose white back ends at the shares `edge` (n,) of its lines `between`."""
    _, _, size, facing = breaker
    count, contour = len(edge), max(size / 160, 1.1)
    for _ in range(int(40 + size / 5)):  # flecks on the face
        i = int(count * rng.uniform(0.05, 0.9))
        block.disc(between(rng.uniform(0.3, 0.95))[i], size * rng.uniform(0.002, 0.008) + 0.5, WHITE)
    # From the foot of the crest to its lip ever longer claws, which fan out at the lip.
    for low, high, amount, length in ((0.26, 0.50, 7, 0.17), (0.52, 0.72, 7, 0.20), (0.74, 0.92, 7, 0.22)):
        for at in np.linspace(low, high, amount):
            i = int(at * count)
            row = between(edge + rng.uniform(-0.02, 0.10))
            along = row[i + 2] - row[i - 2]
            heading = np.arctan2(along[1], along[0]) + facing * rng.uniform(0.3, 1.1)
            long = size * length * rng.uniform(0.75, 1.2)
            curl = facing * rng.uniform(1.6, 2.6)
            _foam(block, _claw(row[i], heading, long, curl, block.detail), contour)
    lip = between(0.5)[int(0.93 * count)]
    for out in (0.16, 0.09, 0.02):
        for turn in np.linspace(-0.8, 2.1, 6) + rng.uniform(-0.15, 0.15, 6):
            heading = (0.0 if facing > 0 else np.pi) + facing * turn
            root = lip + size * out * np.array([np.cos(heading), np.sin(heading)])
            long = size * rng.uniform(0.15, 0.20)
            curl = facing * rng.uniform(1.5, 2.4)
            _foam(block, _claw(root, heading, long, curl, block.detail), contour)
    tip = between(0.5)[-1]
    for _ in range(int(20 + size / 5)):  # spray
        drop = tip + size * np.array([facing * rng.gamma(2.0, 0.18), rng.normal(0.05, 0.28)])
        radius = min(size * rng.uniform(0.003, 0.011), 3.5) + 0.8
        block.disc(drop, radius + 0.8 * contour, INK)
        block.disc(drop, radius, WHITE)
