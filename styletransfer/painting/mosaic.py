"""A garden of rosettes under a sun, laid in glass tesserae, in the manner of Byzantine and Catalan mosaics.

First the cartoon, a map of flat shapes; then the tesserae, square tiles that are spread evenly and turned
along the nearest outline as in A. Hausner, "Simulating Decorative Mosaics" (SIGGRAPH 2001): Lloyd's iteration
for a centroidal Voronoi diagram in a metric whose circles are the turned squares. The cartoon is drawn on a
plane of 1024 x 768 units, x to the right and y down; colours are RGB 0..255; angles are in radians.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial import cKDTree

from .strokes import contours, noise, to_bytes, unit_of

Colour = tuple[int, int, int]

GROUT: Colour = (16, 12, 20)
GOLD, AMBER, CREAM = (236, 178, 40), (226, 116, 20), (250, 236, 190)
RUBY, ROSE, VIOLET, PLUM = (176, 14, 40), (232, 92, 120), (112, 44, 150), (66, 16, 84)
LAPIS, COBALT, SKY = (14, 26, 96), (24, 66, 168), (70, 140, 214)
TURQUOISE, AQUA = (18, 140, 150), (120, 212, 204)
EMERALD, LEAF, LIME = (10, 92, 60), (40, 146, 62), (160, 200, 50)

BACKGROUND = [  # row after row around the shapes
    LAPIS,
    TURQUOISE,
    COBALT,
    GOLD,
    COBALT,
    LAPIS,
    SKY,
    TURQUOISE,
    LAPIS,
    COBALT,
    GOLD,
    LAPIS,
    AQUA,
    TURQUOISE,
]
ROW = 13  # units, the width of one
SIDE = 11.5  # units, of a tile
ROUNDS = 14  # of Lloyd's iteration
# x, y, radius, petals, and the colours of eye, ring, inner petal, outer petal, tip
ROSETTES = [
    (470, 250, 104, 9, (GOLD, PLUM, ROSE, RUBY, CREAM)),
    (730, 130, 78, 8, (AMBER, RUBY, CREAM, VIOLET, ROSE)),
    (905, 330, 120, 11, (GOLD, RUBY, AMBER, CREAM, SKY)),
    (690, 430, 92, 7, (CREAM, EMERALD, GOLD, AMBER, RUBY)),
    (250, 520, 128, 10, (GOLD, LAPIS, AQUA, VIOLET, ROSE)),
    (500, 610, 96, 8, (AMBER, PLUM, CREAM, ROSE, RUBY)),
    (800, 660, 104, 9, (GOLD, RUBY, ROSE, VIOLET, AQUA)),
    (60, 680, 84, 7, (CREAM, RUBY, GOLD, AMBER, CREAM)),
    (985, 560, 60, 6, (GOLD, PLUM, AQUA, SKY, CREAM)),
    (60, 400, 62, 6, (GOLD, RUBY, CREAM, ROSE, RUBY)),
    (940, 80, 64, 6, (CREAM, RUBY, GOLD, RUBY, AMBER)),
    (640, 745, 56, 6, (GOLD, LAPIS, SKY, CREAM, AMBER)),
]
SUN = (180, 170, 160)  # x, y, radius
VINES = [  # x, y of the spiral, its radius, its turns (below 0: the other way), and where its stem comes from
    (590, 320, 52, 2.0, (560, 520)),
    (385, 395, 46, -1.8, (420, 560)),
    (820, 215, 50, 1.8, (700, 300)),
    (400, 85, 60, -2.0, (600, 150)),
    (610, 40, 44, 1.7, (720, 230)),
    (390, 715, 48, 1.8, (300, 640)),
    (150, 620, 34, -1.7, (260, 640)),
    (690, 560, 46, 2.0, (620, 650)),
    (910, 490, 40, -1.7, (830, 560)),
    (930, 730, 44, 1.8, (860, 620)),
    (590, 180, 34, 1.7, (540, 300)),
    (60, 545, 36, 1.8, (160, 560)),
]


@dataclass
class Cartoon:
    """The design: every shape has a number, a colour and a size of tile."""

    height: int
    width: int
    colours: list[Colour] = field(default_factory=lambda: [LAPIS])

    def __post_init__(self) -> None:
        self.image = Image.new("I", (self.width, self.height))
        self.draw = ImageDraw.Draw(self.image)
        self.scale = np.array([self.width / 1024, self.height / 768])

    def add(self, points: ArrayLike, colour: Colour) -> None:
        """A shape with corners (n, 2) on a plane of 1024 x 768 units, over those there already."""
        self.draw.polygon((np.asarray(points) * self.scale).ravel().tolist(), fill=len(self.colours))
        self.colours.append(colour)


@dataclass
class Tiles:
    """n tesserae: middles (n, 2) as (x, y) and half sides (n,) in pixels, directions (n,) in radians."""

    middle: NDArray[np.float64]
    half: NDArray[np.float64]
    direction: NDArray[np.float64]

    def nearest(self, points: NDArray, candidates: int = 6) -> tuple[NDArray, NDArray, NDArray]:
        """The number of the tile nearest to each point, and the distances to it and to the second nearest.

        Parameters
        ----------
        points : (m, 2) pixels
        candidates : how many of the tiles whose middles are nearest come into question

        Returns
        -------
        three arrays (m,). A distance is the 5-norm in a tile's own axes, 1 on its rounded outline
        """
        _, near = cKDTree(self.middle).query(points, k=min(candidates, len(self.middle)))
        near = near.reshape(len(points), -1)
        offset = points[:, None] - self.middle[near]
        cosine, sine = np.cos(self.direction)[near], np.sin(self.direction)[near]
        along = np.abs(offset[..., 0] * cosine + offset[..., 1] * sine) / self.half[near]
        aside = np.abs(offset[..., 1] * cosine - offset[..., 0] * sine) / self.half[near]
        distance = (along**5 + aside**5) ** 0.2
        order = np.argsort(distance, axis=1)[:, :2]
        first, second = order[:, 0], order[:, -1]
        row = np.arange(len(points))
        return near[row, first], distance[row, first], distance[row, second]


def paint(height: int, width: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Lay the mosaic; (height, width, 3) RGB."""
    shapes, colours = _design(height, width)
    tiles = _spread(shapes, rng)
    return _lay(shapes, colours, tiles, rng)


def _polar(x: float, y: float, radius: ArrayLike, angle: ArrayLike) -> NDArray:
    radius, angle = np.broadcast_arrays(radius, angle)
    return np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)])


def _design(height: int, width: int) -> tuple[NDArray[np.int_], NDArray]:
    """The number of the shape at every pixel (H, W), and the colours (shapes, 3) RGB 0..255."""
    cartoon = Cartoon(height, width)
    for vine in VINES:
        _vine(cartoon, *vine)
    _sun(cartoon, *SUN)
    for rosette in ROSETTES:
        _rosette(cartoon, *rosette)
    shapes = np.array(cartoon.image, dtype=np.int_)
    # The background lies in rows around whatever is there.
    away = distance_transform_edt(shapes == 0) / unit_of(height)
    row = (away / ROW).astype(int)
    colours = list(cartoon.colours)
    ground = shapes == 0
    shapes[ground] = len(colours) + row[ground]
    colours += [BACKGROUND[k % len(BACKGROUND)] for k in range(row.max() + 1)]
    return shapes, np.array(colours)


def _rosette(cartoon: Cartoon, x: float, y: float, radius: float, petals: int, colours: tuple[Colour, ...]) -> None:
    eye, ring, inner, outer, tip = colours
    circle = np.linspace(0, 2 * np.pi, 60)
    for k in range(petals):
        middle = 2 * np.pi * (k + 0.25) / petals
        for reach, colour in ((1.0, tip), (0.88, outer), (0.62, inner)):
            turn = np.linspace(-1, 1, 31)
            edge = radius * (0.30 + (reach - 0.30) * np.sqrt(np.clip(1 - turn**4, 0, 1)))
            petal = _polar(x, y, edge, middle + turn * np.pi / petals)
            cartoon.add(np.concatenate([[[x, y]], petal]), colour)
    cartoon.add(_polar(x, y, 0.34 * radius, circle), ring)
    cartoon.add(_polar(x, y, 0.20 * radius, circle), eye)


def _sun(cartoon: Cartoon, x: float, y: float, radius: float) -> None:
    circle = np.linspace(0, 2 * np.pi, 80)
    rays = 14
    for k in range(rays):
        middle, half = 2 * np.pi * (k + 0.5) / rays, np.pi / rays
        long, colour = (1.30, AMBER) if k % 2 else (1.02, GOLD)
        turn = np.linspace(-1, 1, 15)
        edge = radius * (0.60 + (long - 0.60) * (1 - np.abs(turn) ** 1.3))
        flame = _polar(x, y, edge, middle + half * turn)
        cartoon.add(np.concatenate([[[x, y]], flame]), colour)
    for reach, colour in ((0.66, RUBY), (0.57, GOLD), (0.40, AMBER), (0.28, CREAM), (0.14, GOLD)):
        cartoon.add(_polar(x, y, reach * radius, circle), colour)


def _vine(cartoon: Cartoon, x: float, y: float, radius: float, turns: float, stem: tuple[float, float]) -> None:
    share = np.linspace(0, 1, 120)
    towards = np.arctan2(stem[1] - y, stem[0] - x) + 1.2 * np.sign(turns)
    winding = _polar(x, y, radius * (1 - 0.85 * share), towards + 2 * np.pi * turns * share)
    bend = winding[0] - (winding[1] - winding[0]) * 30
    start = np.linspace(0, 1, 40)[:, None]  # a Bezier curve into the spiral
    shoot = (1 - start) ** 2 * np.array(stem) + 2 * start * (1 - start) * bend + start**2 * winding[0]
    line = np.concatenate([shoot, winding[1:]])
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    aside = np.column_stack([-along[:, 1], along[:, 0]])
    for k, at in enumerate(range(6, 100, 17)):  # leaves on both sides of the stem
        side = 1 if k % 2 else -1
        heading = np.arctan2(along[at, 1], along[at, 0]) + side * 0.9
        body = np.linspace(0, 1, 20)
        swell = 17 * np.sin(np.pi * body) ** 0.8
        root = line[at]
        way = np.array([np.cos(heading), np.sin(heading)])
        across = np.array([-way[1], way[0]])
        ridge = root + 56 * body[:, None] * way
        for sign, colour in ((1, LEAF), (-1, LIME)):
            cartoon.add(np.concatenate([ridge, (ridge + sign * swell[:, None] * across)[::-1]]), colour)
    wide = np.linspace(7, 4.5, len(line))[:, None]
    cartoon.add(np.concatenate([line + aside * wide, (line - aside * wide)[::-1]]), EMERALD)
    cartoon.add(_polar(x, y, 0.20 * radius, np.linspace(0, 2 * np.pi, 30)), GOLD)


def _spread(shapes: NDArray[np.int_], rng: np.random.Generator) -> Tiles:
    """Tiles, evenly spread and turned along the outlines of the shapes (H, W)."""
    height, width = shapes.shape
    unit = unit_of(height)
    away = distance_transform_edt(~_outlines(shapes))
    direction = contours(gaussian_filter(away, 1.5 * unit + 0.5))
    cell = max(SIDE * unit, 2.0)
    x, y = np.meshgrid(np.arange(0, width, cell), np.arange(0, height, cell))
    middle = np.column_stack([x.ravel(), y.ravel()]) + rng.uniform(0, cell, (x.size, 2))
    middle = np.clip(middle, 0, [width - 1, height - 1])
    tiles = Tiles(middle, np.full(len(middle), cell / 2), np.zeros(len(middle)))
    step = 2 if unit > 0.5 else 1
    free = np.zeros((height, width), dtype=bool)
    free[::step, ::step] = away[::step, ::step] > 1.2 * unit
    rows, columns = np.nonzero(free)
    pixels = np.column_stack([columns, rows]).astype(np.float64)
    for _ in range(ROUNDS):
        at = tiles.middle.astype(np.intp)
        tiles.direction = direction[at[:, 1], at[:, 0]].astype(np.float64)
        owner, _, _ = tiles.nearest(pixels)
        count = np.bincount(owner, minlength=len(middle))
        for axis in (0, 1):
            total = np.bincount(owner, weights=pixels[:, axis], minlength=len(middle))
            tiles.middle[:, axis] = np.where(count > 0, total / np.maximum(count, 1), tiles.middle[:, axis])
    return tiles


def _outlines(shapes: NDArray[np.int_]) -> NDArray[np.bool_]:
    """Where a shape meets another, to its right or below; (H, W)."""
    edge = np.zeros(shapes.shape, dtype=bool)
    edge[:, :-1] |= shapes[:, :-1] != shapes[:, 1:]
    edge[:-1] |= shapes[:-1] != shapes[1:]
    return edge


def _lay(shapes: NDArray[np.int_], colours: NDArray, tiles: Tiles, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Set the tiles in grout and light them from the upper left, on a grid twice as fine as the picture."""
    height, width = shapes.shape
    fine = 2
    rows, columns = np.mgrid[0 : height * fine, 0 : width * fine]
    points = np.column_stack([columns.ravel() + 0.5, rows.ravel() + 0.5]) / fine
    owner, distance, second = (values.reshape(rows.shape) for values in tiles.nearest(points, 5))
    at = tiles.middle.astype(np.intp)
    shape_of = shapes[at[:, 1], at[:, 0]]
    count = len(at)
    tint = colours[shape_of] / 255
    tint = tint * rng.lognormal(0, 0.22, (count, 1)) + rng.normal(0, 0.035, (count, 3))
    pale = rng.random(count) < 0.06
    tint[pale] = 0.5 * tint[pale] + 0.5
    # Each tile lies a little askew, so that its face catches more or less light; its edges are bevelled.
    height_map = np.clip(1.05 - distance, 0, 0.35).astype(np.float32)
    down, right = np.gradient(gaussian_filter(height_map, 0.8))
    size = tiles.half.mean() * fine
    light = np.clip((down + right) * size * 0.45, -0.7, 0.7)
    offset = points.reshape(*rows.shape, 2) - tiles.middle[owner]
    tilt = rng.normal(0, 0.10, (count, 2))[owner]
    light = light + (offset * tilt).sum(axis=2) / tiles.half[owner]
    light += 0.06 * np.repeat(np.repeat(noise(height, width, 2, rng), fine, axis=0), fine, axis=1)
    face = np.clip(tint, 0.02, 1)[owner]
    light = light[..., None]
    face = np.where(light > 0, face + light * (1 - face), face * (1 + light))
    same = shapes[rows // fine, columns // fine] == shape_of[owner]
    set_in = (distance < 1.0) & (second - distance > 0.16) & same
    picture = np.where(set_in[..., None], face, np.array(GROUT) / 255)
    picture = picture.reshape(height, fine, width, fine, 3).mean(axis=(1, 3))
    return to_bytes(picture, sharpen=0.5)
