"""The provenance in a saved config."""

from __future__ import annotations

import pytest
import yaml
from shrunk import shrunk

from styletransfer import config as configs
from styletransfer.engines import choose
from styletransfer.session.picture import PictureTask
from styletransfer.session.provenance import checksums_in, provenance_of


def test_the_checksums_of_all_inputs_are_read_back_from_a_saved_config():
    config = shrunk("slim", ["init={kind: image, image: input/night.jpg}"])
    task = PictureTask(config)
    checksums = task.checksums()
    styles = {f"style.images {name}" for name in config.style.images}
    assert set(checksums) == {"content.image", "init.image", "weights", *styles}
    saved = yaml.safe_load(configs.dump(config, provenance_of(task.weights_file, choose(), checksums)))
    assert checksums_in(saved["provenance"]) == checksums


@pytest.mark.parametrize(
    ("provenance", "found"),
    [
        ({}, {}),
        ({"weights": {"file": "a.params", "sha256": "12"}}, {"weights": "12"}),  # of earlier versions
        ({"weights": "none", "inputs": ["photo.png"]}, {}),  # changed by hand
    ],
)
def test_absent_checksums_are_left_out(provenance, found):
    assert checksums_in(provenance) == found
