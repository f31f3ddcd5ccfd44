"""The version of the project, and its location: its configs, pictures, scripts, and networks with their weights.

In a checkout that is its root. If the package is installed, `setup.py` has put these folders inside it, as
``styletransfer/_project``. Downloads go there as well, and are kept when the package is reinstalled.
"""

from __future__ import annotations

from pathlib import Path

VERSION = "1.0.0"
_PACKAGE = Path(__file__).resolve().parents[1]
IS_INSTALLED = (_PACKAGE / "_project").is_dir()
PROJECT_FOLDER = _PACKAGE / "_project" if IS_INSTALLED else _PACKAGE.parent
