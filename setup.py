"""The files to install; all other metadata is in pyproject.toml.

The folders next to the library are installed inside it, as ``styletransfer/_project``, where
`styletransfer/support/project.py` finds them: names such as ``models`` and ``input`` are too general for top-level
packages.
"""

from setuptools import find_packages, setup

FOLDERS = (
    *("configs", "configs/sweeps", "configs/train", "input"),
    *("models", "models/weights", "models/styles", "scripts"),
)
inside = {f"styletransfer._project.{folder.replace('/', '.')}": folder for folder in FOLDERS}

setup(
    packages=[*find_packages(include=["styletransfer*"]), *inside],
    package_dir=inside,
    package_data={
        "": ["*.yaml", "*.jpg", "*.png", "*.md", "*.sbatch", "*.css", "py.typed", "vgg_slim*", "vgg19_small*"],
        "styletransfer.page": ["presets/*"],
        "styletransfer._project.models.styles": ["*.npz"],
    },
    exclude_package_data={"": ["IMG_4343.jpg", "starry_night.jpg"]},  # fetched, may not be redistributed
)
