"""A process that stays warm and makes instant pictures: a line in for a request, a line out for its answer.

Started by :mod:`styletransfer.page.instant_pictures`, with the Python that has an engine. It ends with its standard
input, so with the server.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from models.threads import InvalidSetting
from styletransfer.engines import choose, is_out_of_memory
from styletransfer.feedforward import style_file
from styletransfer.feedforward.instant import Instant, Style, blended
from styletransfer.feedforward.stylize import Stylizer, finished
from styletransfer.pictures import colors, images
from styletransfer.pictures.images import Picture
from styletransfer.support import commands
from styletransfer.support.errors import StyleTransferError, system_line


class Painter:
    """Makes pictures; networks, pictures and the statistics of paintings are kept."""

    def paint(self, request: Mapping[str, Any]) -> None:
        """Make a picture and write it to `request["target"]`.

        Raises UserError or OSError if a file cannot be used.

        Parameters
        ----------
        request : dict
            `content`, a file; `styles`, files with their weights, or `trained`, the name of a bundled style; `size`, to
            which larger photographs are reduced; `stroke_size`, the long edge of the paintings in percent of the
            picture's; `color`, as the config key; `strength` of paintings; `target`, a file.
        """
        photograph = _picture(*_version(request["content"]), request["size"], reduce_only=True)
        if request["trained"]:
            stylised = self._trained(request["trained"])(photograph)
        else:
            edge = max(1, round(max(photograph.shape) * request["stroke_size"] / 100))
            matched = photograph if request["color"] == "match" else None
            style = blended([(weight, self._style(file, edge, matched)) for file, weight in request["styles"].items()])
            stylised = self.instant(photograph, [(None, style)], request["strength"])
        picture = finished(photograph, stylised, keep_colors=request["color"] == "keep")
        images.write(request["target"], picture)

    @functools.cached_property
    def instant(self) -> Instant:
        """The networks for paintings."""
        choice = choose()
        return Instant(choice.load(), choice.precision)

    @functools.cache  # noqa: B019 - there is one painter in a process
    def _trained(self, name: str) -> Callable[[Picture], Picture]:
        choice = choose()
        return Stylizer(style_file.read(style_file.find(name)), choice.load(), choice.precision)

    def _style(self, file: str, edge: int, matched: Picture | None) -> Style:
        """The statistics of a painting, in the colours of a photograph if there is one."""
        if matched is None:
            return self._kept_style(*_version(file), edge)
        return self.instant.style(colors.match(_picture(*_version(file), edge), matched))

    @functools.lru_cache(maxsize=32)  # noqa: B019
    def _kept_style(self, file: str, changed: int, edge: int) -> Style:
        return self.instant.style(_picture(file, changed, edge))


def _version(file: str) -> tuple[str, int]:
    return file, Path(file).stat().st_mtime_ns


@functools.lru_cache(maxsize=8)
def _picture(file: str, changed: int, edge: int, reduce_only: bool = False) -> Picture:
    """A picture with that long edge."""
    picture = images.read(file)
    return images.reduce_to(picture, edge) if reduce_only else images.resize_to(picture, edge)


def answer(painter: Painter, request: Mapping[str, Any]) -> dict[str, str]:
    """Make a picture; the answer is empty, or has the error in one line."""
    try:
        painter.paint(request)
    except (StyleTransferError, InvalidSetting) as error:
        return {"error": commands.one_line(commands.as_called(str(error)))}
    except OSError as error:
        return {"error": commands.one_line(system_line(error))}
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return {"error": commands.OUT_OF_MEMORY}
    return {}


def serve(requests: IO[str], answers: IO[str]) -> None:
    """Answer requests until there are no more."""
    painter = Painter()
    with contextlib.suppress(StyleTransferError, InvalidSetting):  # the first answer will tell it
        painter.instant  # noqa: B018 - loads the engine and the networks
    for line in requests:
        print(json.dumps(answer(painter, json.loads(line))), file=answers, flush=True)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print does not come among the answers
    serve(sys.stdin, answers)
