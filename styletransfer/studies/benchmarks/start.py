"""What starting from a trained style saves: the steps to the loss that the run from the photograph ends with.

For every number of scales, the run of the default preset starts from the photograph and makes all its steps; then it
starts from the photograph in the style and ends as soon as its loss is the same. Losses are the float32 total at the
size of the result, those of smaller scales too. The steps ahead are those after which the run from the photograph has
the loss with which that from the style starts. Seconds are without reading the pictures and giving the photograph its
style, which takes about a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from styletransfer import config as configs
from styletransfer.config import Config
from styletransfer.studies.benchmarks import fresh_process, quality
from styletransfer.studies.benchmarks.quality import Point

SCALES = (1, 2)
HEADINGS = (
    "network", "long edge", "scales", "steps from photograph", "s", "loss", "steps from style", "s", "lowest loss",
    "steps ahead at the start",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """The curves of the two runs; that from the style is as long as it took."""

    network: str
    edge: int
    scales: int
    from_photograph: tuple[Point, ...]
    from_style: tuple[Point, ...]


def measure(config: Config, style: str, every: int, scales: Sequence[int] = SCALES) -> Iterator[Result]:
    """Both runs, for every number of scales.

    Parameters
    ----------
    config : Config
    style : str
        A bundled style, or a style file.
    every : int
        Steps between the images of smaller scales that are evaluated at the size of the result.
    scales : sequence of int

    Raises
    ------
    UserError
        If the style or another input cannot be used.
    """
    values = config.model_dump(mode="json", exclude={"provenance"})
    for count in scales:
        photograph = {**values, "scales": count, "init": {"kind": "content"}}
        trained = {**values, "scales": count, "init": {"kind": "style", "name": style}}
        configs.parse(trained, "the benchmark")
        slow = quality.points_of(fresh_process.call(quality.our_curve, photograph, None, every))
        fast = quality.points_of(fresh_process.call(quality.our_curve, trained, quality.best(slow).loss, every))
        yield Result(config.model, config.long_edges[-1], count, slow, fast)


def cells(result: Result) -> list[str]:
    """The row of a result, under `HEADINGS`."""
    end = quality.best(result.from_photograph)
    same = quality.first_below(result.from_style, end.loss)
    ahead = quality.first_below(result.from_photograph, result.from_style[0].loss)
    return [
        result.network,
        str(result.edge),
        str(result.scales),
        str(end.evaluation),
        f"{end.seconds:.1f}",
        f"{end.loss:.6g}",
        str(same.evaluation) if same else f"not in {result.from_style[-1].evaluation}",
        f"{same.seconds:.1f}" if same else "-",
        f"{quality.best(result.from_style).loss:.6g}",
        str(ahead.evaluation if ahead else end.evaluation),
    ]
