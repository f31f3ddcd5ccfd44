"""The contact sheet: all pictures of a sweep in one image."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from styletransfer import config as configs
from styletransfer.pictures import images, marks
from styletransfer.session.output_folder import finished_picture
from styletransfer.support.errors import UserError
from styletransfer.support.files import atomic_write
from styletransfer.sweeps.jobs import Job, PictureJob
from styletransfer.sweeps.states import Queue, state_of
from styletransfer.sweeps.sweep_file import CONTACT, Sweep

CELL, GAP, TEXT = 256, 12, 15  # pixels: a picture's long edge, spacing, text size
LINES = 3  # per label
_LINE = TEXT + 4
_WIDEST = 6  # columns of a sheet without row labels
_GREY, _BLACK = (208, 208, 208), (0, 0, 0)


def write_contact_sheet(sweep: Sweep, queue: Queue = None) -> Path:
    """Write ``contact.png``, all pictures of a sweep in one image."""
    path = sweep.folder / CONTACT
    with atomic_write(path) as stream:
        contact_sheet(sweep, queue).save(stream, format="PNG", pnginfo=marks.png_texts(marks.CONTACT))
    return path


def contact_sheet(sweep: Sweep, queue: Queue = None) -> Image.Image:
    """All pictures of a sweep in a grid.

    If keys vary, the values of the last one are the columns and those of the others the rows, with labels, and any
    varying photographs and paintings, in the margins. Otherwise, or if a single key has many values, the grid has no
    margins and every picture has its label below.
    """
    count = len(sweep.jobs)
    headed = sweep.columns is not None and (len(sweep.keys) > 1 or count <= _WIDEST)
    columns = sweep.columns if headed and sweep.columns else min(_WIDEST, math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    cell = max(64, min(CELL, 8000 // max(rows, columns)))

    def height(labels: Iterable[str]) -> int:
        return max(len(_wrapped(text, cell)) for text in labels) * _LINE + 4

    pictures = [_result(job, cell, queue) for job in sweep.jobs]
    tallest = max((picture.height for picture in pictures if picture), default=cell * 3 // 4)
    title, left, above, down = _LINE + GAP, 0, 0, tallest + GAP
    tops: list[Image.Image | None] = []
    sides: list[Image.Image | None] = []
    if headed:
        tops = [_margin(job, sweep.keys[-1:], cell) for job in sweep.jobs[:columns]]
        top_label = height(job.labels[-1] for job in sweep.jobs[:columns])
        above = max((picture.height + 4 for picture in tops if picture), default=0) + top_label
    if headed and len(sweep.keys) > 1:
        sides = [_margin(job, sweep.keys[:-1], cell) for job in sweep.jobs[::columns]]
        left = cell + GAP
        names = [", ".join(job.labels[:-1]) for job in sweep.jobs[::columns]]
        down = max(down, max((picture.height for picture in sides if picture), default=0) + height(names) + GAP)
    elif not headed:
        names = [", ".join(job.labels) or job.name for job in sweep.jobs]
        down += height(names)

    size = (GAP + left + columns * (cell + GAP), GAP + title + above + rows * down)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    _write(draw, (GAP, GAP), _heading(sweep), sheet.width - 2 * GAP, lines=1)
    x0, y0 = GAP + left, GAP + title + above
    for number, picture in enumerate(tops):
        x = x0 + number * (cell + GAP)
        _write(draw, (x, y0 - top_label), sweep.jobs[number].labels[-1], cell)
        _paste(sheet, picture, (x, y0 - top_label - 4 - (picture.height if picture else 0)), cell)
    for number, picture in enumerate(sides):
        y = y0 + number * down
        _paste(sheet, picture, (GAP, y), cell)
        _write(draw, (GAP, y + (picture.height + 4 if picture else 0)), names[number], cell)
    for number, (job, picture) in enumerate(zip(sweep.jobs, pictures)):
        x, y = x0 + number % columns * (cell + GAP), y0 + number // columns * down
        if picture is None:
            draw.rectangle((x, y, x + cell - 1, y + tallest - 1), fill=_GREY)
            state = state_of(job, queue)
            words = f"{state.name}: {state.reason}" if state.reason else state.name
            _write(draw, (x + 6, y + 4), words, cell - 12, lines=max(1, tallest // _LINE - 1))
        _paste(sheet, picture, (x, y), cell)
        if not headed:
            _write(draw, (x, y + tallest + 4), names[number], cell)
    return sheet


def _heading(sweep: Sweep) -> str:
    return ": ".join(filter(None, (sweep.name, ", ".join(sweep.keys))))


def _result(job: Job, cell: int, queue: Queue) -> Image.Image | None:
    picture = finished_picture(job.folder) if state_of(job, queue).name == "done" else None
    return _thumbnail(picture, cell) if picture else None


def _thumbnail(path: Path, cell: int) -> Image.Image | None:
    try:
        picture = Image.fromarray(images.to_bytes(images.read(path)))
    except UserError:
        return None
    height, width = images.fit(picture.height, picture.width, cell)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _margin(job: Job, keys: Iterable[str], cell: int) -> Image.Image | None:
    """The photograph and paintings of a job that `keys` select, side by side; None if they select none."""
    if not isinstance(job, PictureJob):
        return None
    names: list[str] = []
    for key in keys:
        if key in ("content", "content.image") and job.config.content.image:
            names.append(job.config.content.image)
        elif key in ("style", "style.images"):
            names += job.config.style.images or ()
        elif key.partition(".")[0] == "regions":
            names += [name for name in job.config.used_styles if name not in names]
    thumbnails = [_thumbnail(configs.find_input(name), max(1, cell // len(names))) for name in names]
    pictures = [picture for picture in thumbnails if picture]
    if not pictures:
        return None
    strip = Image.new("RGB", (sum(each.width for each in pictures), max(each.height for each in pictures)), "white")
    x = 0
    for picture in pictures:
        strip.paste(picture, (x, 0))
        x += picture.width
    return strip


def _paste(sheet: Image.Image, picture: Image.Image | None, corner: tuple[int, int], cell: int) -> None:
    """Centre a picture in its column."""
    if picture:
        sheet.paste(picture, (corner[0] + (cell - picture.width) // 2, corner[1]))


def _wrapped(text: str, width: int, lines: int = LINES) -> list[str]:
    """Text wrapped to lines of at most `width` pixels; text that does not fit is truncated with dots."""
    font = ImageFont.load_default(TEXT)
    words = "".join(c if c.isprintable() else "?" for c in text)
    written: list[str] = []
    while words and len(written) < lines:
        length = 1
        while length < len(words) and font.getlength(words[: length + 1]) <= width:
            length += 1
        written.append(words[:length])
        words = words[length:]
    if words:
        written[-1] = written[-1][:-2] + "..."
    return written


def _write(draw: ImageDraw.ImageDraw, corner: tuple[int, int], text: str, width: int, lines: int = LINES) -> None:
    for number, line in enumerate(_wrapped(text, width, lines)):
        draw.text((corner[0], corner[1] + number * _LINE), line, fill=_BLACK, font=ImageFont.load_default(TEXT))
