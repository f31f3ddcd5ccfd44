"""The notebook docs/from_python.ipynb: it runs from top to bottom, shows what it should and leaves no file behind."""

from __future__ import annotations

import io
import os
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pytest
from PIL import Image
from processes import PROJECT

NOTEBOOK = PROJECT / "docs" / "from_python.ipynb"
_LARGEST = 400_000  # bytes, with its outputs


def outputs_of(notebook, words):
    """The outputs of the cell that contains these words."""
    (cell,) = (cell for cell in notebook.cells if cell.cell_type == "code" and words in cell.source)
    return cell.outputs


def pictures_in(outputs):
    """The pictures that outputs show."""
    import base64

    shown = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    return [Image.open(io.BytesIO(base64.b64decode(picture))) for picture in shown]


def text_in(outputs, stream):
    """The text printed to a stream."""
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == stream)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook, executed in an empty folder by a kernel that finds the library; and that folder."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    paths = [str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    client.execute(env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "IPYTHONDIR": str(folder / ".ipython")})
    return notebook, folder


def test_a_result_shows_itself_below_a_progress_bar(executed):
    outputs = outputs_of(executed[0], "import steps, transfer")
    (picture,) = pictures_in(outputs)
    assert picture.size == (192, 128) and np.asarray(picture).std() > 20
    said = text_in(outputs, "stderr")
    assert "12/12" in said and "loss" in said and "Warning" not in said


def test_pictures_are_shown(executed):
    for words, size in (
        ("import matplotlib", None),
        ("stripes =", (128, 85)),
        ("bold =", (160, 106)),
        ("hstack", (384, 85)),
    ):
        (picture,) = pictures_in(outputs_of(executed[0], words))
        assert size is None or picture.size == size


def test_a_mistake_is_printed(executed):
    said = text_in(outputs_of(executed[0], "except UserError"), "stdout")
    assert said == "transfer(): unknown key 'style.wieght'; did you mean 'weight'?\n"


def test_only_files_that_are_asked_for_are_written(executed):
    notebook, folder = executed
    found = {str(path.relative_to(folder)) for path in folder.iterdir() if not path.name.startswith(".")}
    assert found == {"coffee.png", "rocket"}
    files = sorted(path.name for path in (folder / "rocket").iterdir())
    assert outputs_of(notebook, "iterdir")[-1].data["text/plain"] == repr(files).replace(", ", ",\n ")
    assert {"image.png", "curve.csv", "config.yaml"} <= set(files)


def test_the_notebook_is_small_and_has_no_errors_or_bars():
    assert NOTEBOOK.stat().st_size < _LARGEST
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert str(Path.home()) not in NOTEBOOK.read_text()
