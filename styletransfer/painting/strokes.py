"""The brush: strokes that follow a field of directions and leave a relief of paint behind.

Maps (direction, tone, density, mask) are arrays (H, W), one value a pixel of the finished picture; positions
are (x, y) in the same pixels. A stroke's width and length are in *units* of 1/768 of the picture's height, so
that a painting has the same composition at every size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter, zoom

Map = NDArray[np.float32]

SAMPLES_AT_ONCE = 3_000_000  # bounds the memory that one batch of strokes takes
SAMPLE_SPACING = 0.7  # of the canvas's pixels; below 1, so that a stroke has no holes


def unit_of(height: int) -> float:
    """The pixels in one unit of length for a picture of this height."""
    return height / 768


def grid(height: int, width: int) -> tuple[Map, Map]:
    """The place of every pixel in shares (u, v) of the picture's width and height, 0..1; each (H, W)."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return (x + 0.5) / width, (y + 0.5) / height


def smooth_step(values: NDArray, low: float, high: float) -> NDArray:
    """A smooth rise from 0 where `values` is `low` to 1 where it is `high`; `low` may be the larger."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def noise(height: int, width: int, scale: float, rng: np.random.Generator) -> Map:
    """Smooth noise (H, W) of mean 0 and deviation 1, with features of about `scale` units."""
    sigma = max(scale * unit_of(height), 0.5)
    step = max(int(sigma / 2), 1)
    coarse = rng.standard_normal((height // step + 4, width // step + 4)).astype(np.float32)
    fine = zoom(gaussian_filter(coarse, sigma / step), step, order=1)[:height, :width]
    return (fine - fine.mean()) / (fine.std() + 1e-6)


def ramp(palette: ArrayLike, tone: NDArray) -> NDArray[np.float32]:
    """The colours that lie at `tone` on a row of pigments.

    Parameters
    ----------
    palette : (n, 3) RGB 0..255, evenly spaced over tones 0..1
    tone : array of any shape, clipped to 0..1

    Returns
    -------
    array of tone's shape with an axis of RGB 0..1 behind
    """
    pigments = np.asarray(palette, dtype=np.float32) / 255
    place = np.clip(tone, 0, 1) * (len(pigments) - 1)
    low = np.minimum(place.astype(int), len(pigments) - 2)
    share = (place - low)[..., None]
    return (pigments[low] * (1 - share) + pigments[low + 1] * share).astype(np.float32)


def blend(direction: Map, other: Map, weight: NDArray) -> Map:
    """Turn one field of directions towards another by weight 0..1; all (H, W), directions in radians.

    A direction and its opposite are the same one, so doubled angles are averaged.
    """
    x = (1 - weight) * np.cos(2 * direction) + weight * np.cos(2 * other)
    y = (1 - weight) * np.sin(2 * direction) + weight * np.sin(2 * other)
    return (0.5 * np.arctan2(y, x)).astype(np.float32)


def contours(height_map: NDArray) -> Map:
    """The directions (radians) along the contour lines of a map (H, W)."""
    down, right = np.gradient(height_map)
    return np.arctan2(right, -down).astype(np.float32)


def trace(
    direction: Map, start: NDArray, steps: int, step: float, astray: NDArray | float = 0.0
) -> NDArray[np.float32]:
    """Follow a field of directions from many points at once.

    Parameters
    ----------
    direction : (H, W) radians
    start : (n, 2) positions
    steps, step : how many steps and how long each, in pixels
    astray : (n,) radians by which each leaves the field; by pi to follow it backwards

    Returns
    -------
    (n, steps + 1, 2) positions; beyond the edge of the picture the direction at the edge goes on
    """
    height, width = direction.shape
    points = np.empty((len(start), steps + 1, 2), dtype=np.float32)
    points[:, 0] = start
    before = None
    for i in range(steps):
        columns = np.clip(points[:, i, 0], 0, width - 1).astype(np.intp)
        rows = np.clip(points[:, i, 1], 0, height - 1).astype(np.intp)
        angle = direction[rows, columns] + astray
        ahead = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        if before is not None:
            ahead *= np.where((ahead * before).sum(axis=1, keepdims=True) < 0, -1, 1)
        points[:, i + 1] = points[:, i] + step * ahead
        before = ahead
    return points


def smear(values: Map, direction: Map, length: float) -> Map:
    """Average a map (H, W) along the field of directions over `length` units; deviation 1 and mean 0 again.

    Line integral convolution (Cabral and Leedom 1993), on every other pixel of every other row.
    """
    height, width = values.shape
    coarse = np.ascontiguousarray(values[::2, ::2])
    cosine, sine = np.cos(direction[::2, ::2]), np.sin(direction[::2, ::2])
    bottom, right = coarse.shape[0] - 1, coarse.shape[1] - 1
    steps = max(int(length * unit_of(height) / 4), 1)
    total = coarse.copy()
    for way in (1, -1):
        y, x = np.mgrid[0 : bottom + 1, 0 : right + 1].astype(np.float32)
        ahead_x, ahead_y = way * cosine, way * sine
        for _ in range(steps):
            x += ahead_x
            y += ahead_y
            at = (np.clip(y, 0, bottom).astype(np.intp), np.clip(x, 0, right).astype(np.intp))
            total += coarse[at]
            next_x, next_y = cosine[at], sine[at]
            sign = np.where(next_x * ahead_x + next_y * ahead_y < 0, np.float32(-1), np.float32(1))
            ahead_x, ahead_y = sign * next_x, sign * next_y
    total = (total - total.mean()) / (total.std() + 1e-6)
    return total.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]


class Canvas:
    """A canvas twice as fine as the picture: wet colour, and the relief of the paint.

    Parameters
    ----------
    height, width : of the finished picture, in pixels
    ground : RGB 0..255 of the bare canvas
    rng : everything that is left to chance comes from here
    """

    fineness = 2

    def __init__(self, height: int, width: int, ground: ArrayLike, rng: np.random.Generator) -> None:
        self.height, self.width, self.rng = height, width, rng
        fine = (height * self.fineness, width * self.fineness)
        self.colour = np.empty((*fine, 3), dtype=np.float32)
        self.colour[:] = np.asarray(ground, dtype=np.float32) / 255
        self.relief = np.zeros(fine, dtype=np.float32)

    def strokes(
        self,
        direction: Map,
        palette: ArrayLike,
        tone: Map | float,
        *,
        width: float,
        length: float,
        coverage: float,
        spread: float = 0.1,
        density: NDArray | None = None,
        mask: NDArray | None = None,
        streak: float = 0.16,
        stray: float = 0.10,
    ) -> None:
        """Fill the canvas with strokes along a field of directions.

        Parameters
        ----------
        direction : (H, W) radians
        palette : (n, 3) RGB 0..255, from dark to light
        tone : (H, W) place on the palette, 0..1
        width, length : of one stroke, in units; each stroke varies by a third
        coverage : area of all strokes over the area of the picture
        spread : deviation of a stroke's tone from the map's
        density : (H, W) chance 0..1 that a stroke that would start here is laid
        mask : (H, W) bool; strokes start and stay where it is true
        streak : deviation of the bristles' colours within a stroke
        stray : deviation of a stroke's direction from the field's, radians
        """
        unit = max(unit_of(self.height), 1 / width)  # in a thumbnail, strokes are still a pixel wide
        start = self._scatter(width * length * unit * unit / coverage, mask)
        rows, columns = start[:, 1].astype(np.intp), start[:, 0].astype(np.intp)
        keep = np.ones(len(start), dtype=bool)
        if density is not None:
            keep &= self.rng.random(len(start)) < density[rows, columns]
        if mask is not None:
            keep &= mask[rows, columns]
        start, rows, columns = start[keep], rows[keep], columns[keep]
        tone_at = np.broadcast_to(np.asarray(tone, dtype=np.float32), direction.shape)[rows, columns]
        tones = tone_at + spread * self.rng.standard_normal(len(start))
        colours = ramp(palette, tones) + 0.02 * self.rng.standard_normal((len(start), 3))
        widths = width * unit * self.rng.uniform(0.67, 1.33, len(start))
        lengths = length * unit * self.rng.uniform(0.67, 1.33, len(start))
        astray = stray * self.rng.standard_normal(len(start)).astype(np.float32)
        step = SAMPLE_SPACING / self.fineness
        half = max(int(lengths.max(initial=0) / step / 2), 1)
        across = max(int(1.33 * width * unit / step), 1) + 1
        batch = max(SAMPLES_AT_ONCE // ((2 * half + 1) * across), 1)
        for first in range(0, len(start), batch):
            part = slice(first, first + batch)
            back = trace(direction, start[part], half, step, astray[part] + np.pi)
            ahead = trace(direction, start[part], half, step, astray[part])
            path = np.concatenate([back[:, :0:-1], ahead], axis=1)
            self.lay(path, widths[part], lengths[part] / (2 * half * step), colours[part], mask, streak)

    def line(self, corners: ArrayLike, width: float, colour: ArrayLike) -> None:
        """Join corners (n, 2), in pixels, by single straight strokes `width` units wide of RGB 0..255."""
        corners = np.asarray(corners, dtype=np.float32)
        sides = corners[1:] - corners[:-1]
        points = int(np.linalg.norm(sides, axis=1).max() * self.fineness / SAMPLE_SPACING) + 2
        share = np.linspace(-0.05, 1.05, points, dtype=np.float32)[None, :, None]
        path = corners[:-1, None] + share * sides[:, None]
        widths = np.full(len(sides), width * unit_of(self.height), dtype=np.float32)
        colours = np.tile(np.asarray(colour, dtype=np.float32) / 255, (len(sides), 1))
        self.lay(path, widths, np.ones(len(sides)), colours)

    def lay(
        self,
        path: NDArray,
        widths: NDArray,
        reach: NDArray,
        colours: NDArray,
        mask: NDArray | None = None,
        streak: float = 0.1,
    ) -> None:
        """Lay strokes one over another, the last on top.

        Parameters
        ----------
        path : (n, k, 2) the middle lines, with points less than half a pixel apart
        widths : (n,) pixels
        reach : (n,) the share 0..1 of its path that a stroke covers, about the middle
        colours : (n, 3) RGB 0..1
        mask : (H, W) bool; a stroke ends where its middle line leaves the mask
        streak : deviation of the bristles' colours
        """
        strokes, points = path.shape[:2]
        across = max(int(widths.max(initial=0) * self.fineness / SAMPLE_SPACING), 1) + 1
        along = np.gradient(path, axis=1) if points > 1 else np.ones_like(path)
        along /= np.linalg.norm(along, axis=2, keepdims=True) + 1e-6
        side = np.linspace(-1, 1, across, dtype=np.float32)
        offset = side * (widths / 2).astype(np.float32)[:, None]
        x = path[:, :, None, 0] - along[:, :, None, 1] * offset[:, None]
        y = path[:, :, None, 1] + along[:, :, None, 0] * offset[:, None]
        columns = np.floor(x * self.fineness).astype(np.int32)
        rows = np.floor(y * self.fineness).astype(np.int32)

        # Every bristle carries its own colour and amount of paint, and runs dry at its own place. A stroke
        # swells quickly, then thins out; its edge is a little ragged.
        bristle = self.rng.standard_normal((strokes, across)).astype(np.float32)
        bristle = gaussian_filter(bristle, (0, 0.7)) * 1.5
        dry = 1 - 0.55 * self.rng.random((strokes, across), dtype=np.float32) ** 2
        place = np.linspace(-1, 1, points, dtype=np.float32)[None, :] / np.maximum(reach, 1e-3)[:, None]
        lean = self.rng.uniform(-0.15, 0.55, strokes).astype(np.float32)[:, None]
        body = np.sqrt(np.clip(1 - np.abs(place) ** 3, 0, 1)) * (1 - lean * np.clip(0.5 + 0.5 * place, 0, 1))
        edge = np.abs(side) * (1 + 0.10 * bristle)
        shown = (edge[:, None] <= body[:, :, None] + 1e-3) & (place[:, :, None] < dry[:, None])
        shown &= (np.abs(place) <= 1)[:, :, None]
        shown &= (columns >= 0) & (columns < self.width * self.fineness)
        shown &= (rows >= 0) & (rows < self.height * self.fineness)
        if mask is not None:
            middle_x = np.clip(path[..., 0], 0, self.width - 1).astype(np.intp)
            middle_y = np.clip(path[..., 1], 0, self.height - 1).astype(np.intp)
            inside = mask[middle_y, middle_x]
            centre = points // 2
            inside[:, centre:] = np.logical_and.accumulate(inside[:, centre:], axis=1)
            inside[:, centre::-1] = np.logical_and.accumulate(inside[:, centre::-1], axis=1)
            shown &= inside[:, :, None]

        # Paint is pushed to both edges and piles up at the end of the stroke.
        thickness = self.rng.uniform(0.5, 1.0, strokes).astype(np.float32)[:, None, None]
        profile = 1 - 0.8 * np.abs(side) ** 4 + 0.30 * bristle
        pile = 1 + 0.35 * place[:, :, None] ** 3
        relief = thickness * profile[:, None] * pile
        stroke, point, hair = np.nonzero(shown)
        at = (rows[stroke, point, hair], columns[stroke, point, hair])
        tint = 1 + streak * bristle
        self.colour[at] = colours[stroke].astype(np.float32) * tint[stroke, hair][:, None]
        self.relief[at] = relief[stroke, point, hair]

    def finish(self, relief: float = 0.35, sharpen: float = 0.5) -> NDArray[np.uint8]:
        """Light the paint from the upper left and look at it from the picture's distance.

        Parameters
        ----------
        relief : how strongly the light shows the relief
        sharpen : weight of an unsharp mask

        Returns
        -------
        (H, W, 3) RGB
        """
        down, right = np.gradient(gaussian_filter(self.relief, 0.6))
        light = np.clip(down + right, -0.8, 0.8)[..., None] * relief
        lit = np.clip(self.colour, 0, 1)
        lit = np.where(light > 0, lit + light * (1 - lit) * 0.7, lit * (1 + light))
        f = self.fineness
        picture = lit.reshape(self.height, f, self.width, f, 3).mean(axis=(1, 3))
        return to_bytes(picture, sharpen)

    def _scatter(self, area: float, mask: NDArray | None) -> NDArray[np.float32]:
        """Positions (n, 2), evenly spread and in no order, one in `area` pixels of the mask's extent."""
        top, left, bottom, right = 0, 0, self.height, self.width
        if mask is not None:
            inside_rows, inside_columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            if not len(inside_rows):
                return np.empty((0, 2), dtype=np.float32)
            top, bottom = inside_rows[0], inside_rows[-1] + 1
            left, right = inside_columns[0], inside_columns[-1] + 1
        cell = np.sqrt(area)
        y, x = np.mgrid[top:bottom:cell, left:right:cell]
        points = np.stack([x.ravel(), y.ravel()], axis=1)
        points += self.rng.uniform(0, cell, points.shape)
        points = points[(points[:, 0] < right) & (points[:, 1] < bottom)]
        return self.rng.permutation(points).astype(np.float32)


def to_bytes(picture: NDArray, sharpen: float = 0.0) -> NDArray[np.uint8]:
    """RGB 0..1 to 0..255, (H, W, 3), after an unsharp mask of a pixel's radius."""
    if sharpen:
        picture = picture + sharpen * (picture - gaussian_filter(picture, (1.2, 1.2, 0)))
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
