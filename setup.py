"""The files to install, and the packages that they need; all other metadata is in pyproject.toml.

The folders next to the library are installed inside it, as ``styletransfer/_project``, where
`styletransfer/support/project.py` finds them: names such as ``models`` and ``input`` are too general for top-level
packages.

The requirements files pin the versions that the tests run with; an installed package takes later ones too, up to the
next major version, so that it goes together with others.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

FOLDERS = (
    *("configs", "configs/sweeps", "configs/train", "input"),
    *("models", "models/weights", "models/styles", "scripts"),
)
inside = {f"styletransfer._project.{folder.replace('/', '.')}": folder for folder in FOLDERS}


def ranges(name: str) -> list[str]:
    """The requirements in a file: ``name~=1.2`` for ``name==1.2.3``."""
    lines = (line.partition("#")[0].strip() for line in Path(__file__).with_name(name).read_text().splitlines())
    return [re.sub(r"==(\d+\.\d+)\.\d+", r"~=\1", line, count=1) for line in lines if line]


setup(
    install_requires=ranges("requirements.txt"),
    extras_require={extra: ranges(f"requirements-{extra}.txt") for extra in ("page", "torch")},
    packages=[*find_packages(include=["styletransfer*"]), *inside],
    package_dir=inside,
    package_data={
        "": ["*.yaml", "*.jpg", "*.png", "*.md", "*.sbatch", "*.css", "py.typed", "vgg_slim*", "vgg19_small*"],
        "styletransfer.page": ["presets/*"],
        "styletransfer._project.models.styles": ["*.npz"],
    },
    exclude_package_data={"": ["IMG_4343.jpg", "starry_night.jpg"]},  # fetched, may not be redistributed
)
