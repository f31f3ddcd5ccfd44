"""What `scripts/fetch.py` can fetch: from where, how the right file is known, under which licence, and where it goes.

To add a source, add it to the tuple of its network in :func:`catalogue`; sources are tried in the order they stand in.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import models
from styletransfer import weights

ROOT = Path(__file__).resolve().parents[1]
Kind = Literal["sha256", "sha256 beginning", "md5", "git blob sha1"]
Reader = Callable[[Path], weights.Parameters]

_DIGITS = {
    "sha256": range(64, 65),
    "sha256 beginning": range(8, 64),
    "md5": range(32, 33),
    "git blob sha1": range(40, 41),
}
_LARGEST = 1_000_000_000


@dataclass(frozen=True)
class Checksum:
    """What its publisher says of a file's contents: the kind of sum, and its digits in lower-case hexadecimal.

    A git blob's sum is the sha1 of the line ``blob <size>``, a zero byte and the contents.
    """

    kind: Kind
    digits: str

    def __post_init__(self) -> None:
        if len(self.digits) not in _DIGITS[self.kind] or not set(self.digits) <= set(string.hexdigits.lower()):
            raise ValueError(f"{self.digits!r} cannot be a {self.kind}")

    def __str__(self) -> str:
        return f"{self.kind} {self.digits}"


@dataclass(frozen=True)
class Source:
    """One place a file can be downloaded from."""

    name: str
    url: str
    size: int  # of the download, in bytes; near enough to stop one that does not end
    checksum: Checksum | None  # None: none is published
    licence: str
    credit: str  # where the work comes from
    reader: Reader | None = None  # of the downloaded file; None: it is kept as it is

    @property
    def limit(self) -> int:
        """The number of bytes at which a download is stopped."""
        return min(self.size + self.size // 4 + 1_000_000, _LARGEST)


@dataclass(frozen=True)
class Target:
    """One file of the project that can be fetched."""

    path: Path
    sources: tuple[Source, ...]
    reader: Reader | None = None  # of the finished file, raises UserError; None: it is known by its sources' checksums


def catalogue() -> dict[str, tuple[Target, ...]]:
    """Everything that can be fetched: for each name the files that belong to it."""
    squeezenet, vgg19 = (models.load(name).SPEC for name in ("squeezenet", "vgg19"))
    return {
        "squeezenet": (
            Target(
                squeezenet.weights_path,
                (
                    Source(
                        "songhan",
                        "https://raw.githubusercontent.com/songhan/SqueezeNet-Deep-Compression/master/"
                        "compressed_SqueezeNet.net",
                        675_763,
                        Checksum("sha256", "e4ab6960ae8cd81505e1c2136921201507e930966c53deaf15862a395b3a3261"),
                        squeezenet.licence,
                        squeezenet.source,
                        partial(weights.load_deep_compression, squeezenet),
                    ),
                ),
                partial(weights.load, squeezenet),
            ),
        ),
        "vgg19": (
            Target(
                vgg19.weights_path,
                (
                    Source(
                        "dmlc",
                        "https://github.com/dmlc/web-data/raw/master/mxnet/neural-style/model/vgg19.params",
                        80_100_000,
                        Checksum("git blob sha1", "9dfbe2ed44e0e8914f9551888bf763e14c09c778"),
                        vgg19.licence,
                        f"{vgg19.source}, converted for the MXNet neural-style example",
                        partial(weights.load, vgg19),
                    ),
                ),
                partial(weights.load, vgg19),
            ),
        ),
        "images": (
            _picture(
                "IMG_4343.jpg",
                230_594,
                "f030b5f903509865604e9ec823dc509883619a16fdc0a2d5c0fff70cb8b83fcf",
                "none stated",
                "a photograph of the MXNet neural-style example",
            ),
            _picture(
                "starry_night.jpg",
                315_236,
                "0592ab0f7b51b3ce72608a95e53880bd93971e5b48f93a0ce8dfd3cbccf3d098",
                "public domain",
                "Vincent van Gogh, The Starry Night, 1889, as in the MXNet neural-style example",
            ),
        ),
    }


def _picture(file: str, size: int, sha256: str, licence: str, credit: str) -> Target:
    """A picture of the MXNet neural-style example, kept in input/."""
    url = f"https://github.com/dmlc/web-data/raw/master/mxnet/neural-style/input/{file}"
    return Target(ROOT / "input" / file, (Source("dmlc", url, size, Checksum("sha256", sha256), licence, credit),))
