"""What a run writes once: its config, before the first step, and its picture, at the end."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from models.runtime import load_mxnet
from styletransfer import config as configs
from styletransfer.config import Config
from styletransfer.pictures import images
from styletransfer.run import output_folder
from styletransfer.run.display import Display
from styletransfer.support.files import atomic_write

_PACKAGES = ("numpy", "scikit-image", "scipy", "pillow")


class Results:
    """Writes config and picture into the folder of a run, each with what it was made with.

    Parameters
    ----------
    folder : Path
    config : Config
    display : Display
    exif : bytes
        For the picture.
    weights_checksum : str
        The sha256 of the network's weights.
    """

    def __init__(self, folder: Path, config: Config, display: Display, exif: bytes, weights_checksum: str) -> None:
        self._folder, self._config, self._display, self._exif = folder, config, display, exif
        self._checksum = weights_checksum

    def write_config(self, diverged: bool = False) -> None:
        """Write ``config.yaml``."""
        with atomic_write(self._folder / output_folder.CONFIG) as stream:
            stream.write(configs.dump(self._config, self._provenance(diverged)).encode())

    def write_picture(self, image: NDArray, diverged: bool = False) -> Path:
        """Write the picture of an image (1, 3, H, W); if it is a PNG, with the config inside."""
        output = self._config.output
        path = output_folder.picture_of(self._folder, output.format)
        texts = {configs.PNG_KEY: configs.dump_for_picture(self._config, self._provenance(diverged))}
        images.write(path, self._display.picture(image), output.quality, self._exif, texts)
        return path

    def _provenance(self, diverged: bool) -> dict[str, Any]:
        weights = Path(self._config.weights or self._config.spec.weights_path).name
        return {
            "python": platform.python_version(),
            "mxnet": load_mxnet().__version__,  # not the package's: there are others, built for CUDA
            **{package: metadata.version(package) for package in _PACKAGES},
            "weights": {"file": weights, "sha256": self._checksum},
            **({"diverged": True} if diverged else {}),
        }
