"""Matplotlib's figures as pictures. Plots are optional: Matplotlib needs no folder, and its messages are hidden."""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from styletransfer.pictures import marks
from styletransfer.support.files import atomic_write


def figure(**options: Any) -> Any:
    """An empty figure; the options are those of ``matplotlib.figure.Figure``."""
    _prepare()
    from matplotlib.figure import Figure

    return Figure(**options)


def write(path: str | os.PathLike[str], drawn: Any, mark: str) -> None:
    """Write a figure as a PNG file, with a mark of :mod:`styletransfer.pictures.marks`.

    Raises OSError if it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    content = io.BytesIO()
    with _quiet():
        FigureCanvasAgg(drawn).print_figure(content, format="png", dpi=100, metadata={"Software": marks.text(mark)})
    with atomic_write(path) as stream:
        stream.write(content.getvalue())


def to_picture(drawn: Any) -> NDArray[np.floating]:
    """A figure as a picture (H, W, 3), RGB, 0..1."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(drawn)
    with _quiet():
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255.0


@functools.cache
def _prepare() -> None:
    """Import Matplotlib; where there is no home folder, with a temporary one for what it keeps about fonts."""
    try:
        Path.home()
    except RuntimeError:  # the user is unknown, and HOME is not set
        if not os.environ.get("MPLCONFIGDIR"):
            folder = tempfile.mkdtemp(prefix="nstyle-matplotlib-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            os.environ["MPLCONFIGDIR"] = folder
    with _quiet():
        import matplotlib.font_manager  # noqa: F401 - which looks for fonts now


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what Matplotlib says about its folders, fonts, and characters that they do not have."""
    logger = logging.getLogger("matplotlib")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
