"""The judges of pictures: VGG-19 and SqueezeNet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import random_parameters, random_picture
from processes import PROJECT
from reference import torch_judges, torch_squeezenet
from true_vgg19 import published_vgg19, true_vgg19

from models import model_squeezenet
from styletransfer import weights
from styletransfer.judging import judges
from styletransfer.pictures import images, pixels
from styletransfer.support.errors import UserError

SQUEEZENET = PROJECT.parent / "shared" / "teacher" / "compressed_SqueezeNet.net"
PICTURES = PROJECT.parent / "shared" / "images"
with_the_real_pictures = pytest.mark.skipif(
    not (SQUEEZENET.exists() and PICTURES.exists()), reason="the real SqueezeNet and pictures are missing"
)


@pytest.fixture(scope="module", params=["vgg19", "squeezenet"])
def judge(request: pytest.FixtureRequest) -> judges.Judge:
    if request.param == "vgg19":
        return judges.vgg19(true_vgg19())
    return judges.squeezenet(random_parameters("squeezenet"))


def test_a_picture_has_distance_zero_from_itself(judge: judges.Judge) -> None:
    picture = random_picture(60, 80, 0)
    assert judge.style_distances(picture, picture) == dict.fromkeys(judge.style_layers, 0)
    assert judge.content_distance(picture, picture) == 0


def test_the_distances_match_the_formulas(judge: judges.Judge) -> None:
    picture, photograph, painting = (random_picture(60, width, seed) for seed, width in enumerate((80, 80, 50)))
    found, content, style = (judge.features(values) for values in (picture, photograph, painting))
    distances = judge.style_distances(picture, painting)
    assert tuple(distances) == judge.style_layers
    for layer, distance in distances.items():
        ours, theirs = (
            np.einsum("iab,jab->ij", f[layer], f[layer], dtype=float) / f[layer].size for f in (found, style)
        )
        assert distance == pytest.approx(((ours - theirs) ** 2).sum() / (theirs**2).sum(), rel=1e-6)
    wanted = content[judge.content_layer].astype(float)
    expected = ((found[judge.content_layer] - wanted) ** 2).sum() / (wanted**2).sum()
    assert judge.content_distance(picture, photograph) == pytest.approx(expected, rel=1e-6)


def test_cached_summaries_are_not_confused(judge: judges.Judge) -> None:
    """A picture modified in place is a different picture, an equal one is the same, and shapes may alternate."""
    first, other, painting = random_picture(60, 80, 0), random_picture(40, 50, 1), random_picture(48, 48, 2)
    before = judge.style_distances(first, painting), judge.style_distances(other, painting)
    changed = first.copy()
    changed[:30] = 1 - changed[:30]
    assert judge.style_distances(changed, painting) != before[0]
    assert judge.content_distance(changed, first) > 0
    changed[:] = first
    assert (judge.style_distances(changed, painting), judge.style_distances(other, painting)) == before


def test_pictures_of_different_sizes_have_no_content_distance(judge: judges.Judge) -> None:
    with pytest.raises(ValueError, match="content distance"):
        judge.content_distance(random_picture(40, 60, 0), random_picture(60, 40, 0))


def test_the_smallest_picture_can_be_judged_and_a_smaller_one_is_rejected(judge: judges.Judge) -> None:
    side = 16 if judge.name == "VGG-19" else model_squeezenet.SPEC.smallest_side("fire9")
    small = judge.features(random_picture(side, side, 0))
    assert all(min(values.shape) > 0 for values in small.values())
    with pytest.raises(UserError, match=f"at least {side} on each side"):
        judge.features(random_picture(side - 1, 100, 0))


def test_vgg19_matches_pytorch() -> None:
    compare_with_pytorch(judges.vgg19(true_vgg19()), random_picture(48, 67, 0), random_picture(52, 40, 1))


def compare_with_pytorch(judge: judges.Judge, first: np.ndarray, second: np.ndarray) -> None:
    """Compare the features of two pictures and their distances; the second is resized for the content."""
    resized = images.resize(second, *first.shape[:2])
    found, wanted, content = (torch_judges.see(picture, published_vgg19()) for picture in (first, second, resized))
    features = judge.features(first)
    assert set(features) == {*judge.style_layers, "relu4_2"}
    for layer, values in features.items():
        np.testing.assert_allclose(values, found[layer], rtol=1e-4, atol=1e-4 * float(found[layer].abs().max()))
    assert judge.style_distances(first, second) == pytest.approx(torch_judges.style_distances(found, wanted), rel=1e-4)
    expected = torch_judges.content_distance(found["relu4_2"], content["relu4_2"])
    assert judge.content_distance(first, resized) == pytest.approx(expected, rel=1e-4)


def test_squeezenet_matches_pytorch() -> None:
    import torch

    parameters, picture = random_parameters("squeezenet"), random_picture(48, 67, 0)
    expected = torch_squeezenet.see(
        parameters, torch.tensor(pixels.from_picture(picture, "caffe"), dtype=torch.float64)
    )
    for layer, features in judges.squeezenet(parameters).features(picture).items():
        wanted = expected[layer][0]
        np.testing.assert_allclose(features, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


@with_the_real_pictures
def test_a_published_picture_has_the_distances_of_pytorch_and_those_measured_before() -> None:
    """The output of the MXNet example at 160 pixels; by SqueezeNet at 320, the photograph itself, measured before."""
    photograph, painting, picture = (
        images.read(PICTURES / f"{name}.jpg") for name in ("IMG_4343", "starry_night", "mxnet_example_output_600x400")
    )
    small = images.resize(picture, 107, 160), images.resize(painting, 100, 160)
    compare_with_pytorch(judges.vgg19(true_vgg19()), *small)
    squeezenet = judges.load_squeezenet(SQUEEZENET)
    middle = images.resize(photograph, 213, 320), images.resize(painting, *images.fit(*painting.shape[:2], 320))
    assert np.mean(list(squeezenet.style_distances(*middle).values())) == pytest.approx(0.719, abs=0.001)


def test_a_judge_without_weights_is_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("models.spec.WEIGHTS_FOLDER", tmp_path)
    with pytest.raises(UserError, match=r"fetch.py vgg19.*fetch.py squeezenet"):
        judges.load()
    found, left_out = judges.load(vgg19_path=published_vgg19())
    assert [judge.name for judge in found] == ["VGG-19"]
    assert len(left_out) == 1 and left_out[0].startswith("SqueezeNet is skipped") and "--squeezenet" in left_out[0]
    weights.save(tmp_path / "squeezenet.params", random_parameters("squeezenet"))
    found, left_out = judges.load()
    assert [judge.name for judge in found] == ["SqueezeNet"] and "--vgg19" in left_out[0]
    weights.save(tmp_path / "vgg19.params", true_vgg19())
    found, left_out = judges.load()
    assert [judge.name for judge in found] == ["VGG-19", "SqueezeNet"] and not left_out


def test_errors_name_unusable_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.npz"):
        judges.load_vgg19(tmp_path / "absent.npz")
    broken = tmp_path / "broken.bin"
    broken.write_bytes(published_vgg19().read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"broken.bin.*damaged"):
        judges.load_vgg19(broken)
