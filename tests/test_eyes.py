"""The judges of pictures: VGG-19, in full and from two files, and SqueezeNet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import random_parameters, random_picture
from processes import PROJECT
from reference import torch_collaborative, torch_eyes, torch_squeezenet

from models import model_squeezenet, model_vgg19
from models.spec import ModelSpec
from styletransfer import weights
from styletransfer.pictures import images, pixels
from styletransfer.studies import eyes, vgg19_parts
from styletransfer.support.errors import UserError

TEACHERS = PROJECT.parent / "shared" / "teacher"
EXACT = TEACHERS / "vgg19_blocks_1_to_3" / "vgg19_conv1_1-conv3_4_BGR_OIHW.npz"
COMPRESSED = TEACHERS / "vgg19_16x" / "20191109-211322_E20.pth"
SQUEEZENET = TEACHERS / "compressed_SqueezeNet.net"
PICTURES = PROJECT.parent / "shared" / "images"
with_the_real_files = pytest.mark.skipif(
    not (EXACT.exists() and COMPRESSED.exists() and SQUEEZENET.exists() and PICTURES.exists()),
    reason="the real networks and pictures are missing",
)


def write(file: Path, spec: ModelSpec, seed: int, **more: np.ndarray) -> dict[str, np.ndarray]:
    """Write random parameters in the published layout, ``conv1_1.weight``, and return them."""
    generator = np.random.default_rng(seed)
    parameters = weights.random(spec, seed)
    stored = {
        ".".join(name.rsplit("_", 1)): values if values.ndim > 1 else generator.normal(0, 0.5, values.shape).astype("f")
        for name, values in parameters.items()
    }
    np.savez(file, **stored, **more)
    return stored


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict, dict]:
    """VGG-19 in two files, and their contents."""
    folder = tmp_path_factory.mktemp("eyes")
    exact = folder / "exact.npz"
    further = {"conv4_1.weight": np.zeros((512, 256, 3, 3), np.float32)}
    return (
        exact,
        torch_collaborative.write(folder / "compressed.pth", torch_collaborative.made_up()),
        write(exact, vgg19_parts.exact_spec(), 0, **further),
        torch_collaborative.made_up(),
    )


@pytest.fixture(scope="module", params=["in two files", "whole", "squeezenet"])
def judge(request: pytest.FixtureRequest, files: tuple) -> eyes.Judge:
    if request.param == "in two files":
        return eyes.load_vgg19(files[:2])
    if request.param == "whole":
        return eyes.vgg19(random_parameters("vgg19"))
    return eyes.squeezenet(random_parameters("squeezenet"))


def test_a_picture_has_distance_zero_from_itself(judge: eyes.Judge) -> None:
    picture = random_picture(60, 80, 0)
    assert judge.style_distances(picture, picture) == dict.fromkeys(judge.style_layers, 0)
    assert judge.content_distance(picture, picture) == 0


def test_the_distances_match_the_formulas(judge: eyes.Judge) -> None:
    picture, photograph, painting = (random_picture(60, width, seed) for seed, width in enumerate((80, 80, 50)))
    found, content, style = (judge.features(values) for values in (picture, photograph, painting))
    distances = judge.style_distances(picture, painting)
    assert tuple(distances) == judge.style_layers
    for layer, distance in distances.items():
        ours, theirs = (
            np.einsum("iab,jab->ij", f[layer], f[layer], dtype=float) / f[layer].size for f in (found, style)
        )
        assert distance == pytest.approx(((ours - theirs) ** 2).sum() / (theirs**2).sum(), rel=1e-6)
    assert judge.style_distance(picture, painting) == pytest.approx(np.mean(list(distances.values())))
    wanted = content[judge.content_layer].astype(float)
    expected = ((found[judge.content_layer] - wanted) ** 2).sum() / (wanted**2).sum()
    assert judge.content_distance(picture, photograph) == pytest.approx(expected, rel=1e-6)


def test_cached_summaries_are_not_confused(judge: eyes.Judge) -> None:
    """A picture modified in place is a different picture, an equal one is the same, and shapes may alternate."""
    first, other, painting = random_picture(60, 80, 0), random_picture(40, 50, 1), random_picture(48, 48, 2)
    before = judge.style_distances(first, painting), judge.style_distances(other, painting)
    changed = first.copy()
    changed[:30] = 1 - changed[:30]
    assert judge.style_distances(changed, painting) != before[0]
    assert judge.content_distance(changed, first) > 0
    changed[:] = first
    assert (judge.style_distances(changed, painting), judge.style_distances(other, painting)) == before


def test_pictures_of_different_sizes_have_no_content_distance(judge: eyes.Judge) -> None:
    with pytest.raises(ValueError, match="content distance"):
        judge.content_distance(random_picture(40, 60, 0), random_picture(60, 40, 0))


def test_the_smallest_picture_can_be_judged_and_a_smaller_one_is_rejected(judge: eyes.Judge) -> None:
    side = 32 if judge.name == "VGG-19" else model_squeezenet.SPEC.smallest_side("fire9")
    small = judge.features(random_picture(side, side, 0))
    assert all(min(values.shape) > 0 for values in small.values())
    with pytest.raises(UserError, match=f"at least {side} on each side"):
        judge.features(random_picture(side - 1, 100, 0))


def test_vgg19_from_two_files_matches_pytorch(files: tuple) -> None:
    *paths, exact, compressed = files
    compare_with_pytorch(
        eyes.load_vgg19(paths), exact, compressed, random_picture(48, 67, 0), random_picture(52, 40, 1)
    )


def test_the_full_vgg19_matches_pytorch() -> None:
    parameters = random_parameters("vgg19")
    bgr = {".".join(name.rsplit("_", 1)): values for name, values in parameters.items()}
    bgr["conv1_1.weight"] = bgr["conv1_1.weight"][:, ::-1].copy()
    compare_with_pytorch(eyes.vgg19(parameters), bgr, None, random_picture(48, 67, 0), random_picture(52, 40, 1))


def compare_with_pytorch(
    judge: eyes.Judge, exact: dict, compressed: dict | None, first: np.ndarray, second: np.ndarray
) -> None:
    """Compare the features of two pictures and their distances; the second is resized for the content."""
    found, wanted = (torch_eyes.see(picture, exact, compressed) for picture in (first, second))
    assert tuple(found) == judge.style_layers
    for layer, features in judge.features(first).items():
        np.testing.assert_allclose(features, found[layer], rtol=1e-4, atol=1e-4 * float(found[layer].abs().max()))
    expected = torch_eyes.style_distances(found, wanted)
    assert judge.style_distances(first, second) == pytest.approx(expected, rel=1e-4)
    resized = images.resize(second, *first.shape[:2])
    content = torch_eyes.content_distance(found["relu4_1"], torch_eyes.see(resized, exact, compressed)["relu4_1"])
    assert judge.content_distance(first, resized) == pytest.approx(content, rel=1e-4)


def test_squeezenet_matches_pytorch() -> None:
    import torch

    parameters, picture = random_parameters("squeezenet"), random_picture(48, 67, 0)
    expected = torch_squeezenet.see(
        parameters, torch.tensor(pixels.from_picture(picture, "caffe"), dtype=torch.float64)
    )
    for layer, features in eyes.squeezenet(parameters).features(picture).items():
        wanted = expected[layer][0]
        np.testing.assert_allclose(features, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


def test_both_forms_of_vgg19_agree_up_to_relu3_1(files: tuple) -> None:
    whole = random_parameters("vgg19")
    in_two = eyes.vgg19(
        {name: whole[name] for name in vgg19_parts.exact_spec().parameters}, vgg19_parts.load_compressed(files[1])
    )
    picture = random_picture(40, 50, 0)
    found, wanted = in_two.features(picture), eyes.vgg19(whole).features(picture)
    for layer in ("relu1_1", "relu2_1", "relu3_1"):
        np.testing.assert_array_equal(found[layer], wanted[layer])


@with_the_real_files
def test_the_real_judges_match_pytorch_and_earlier_measurements() -> None:
    """Style distances of the photograph itself at 320 pixels; measured before, with PyTorch: .576, .430, .531."""
    vgg19 = eyes.load_vgg19([EXACT, COMPRESSED])
    photograph, *paintings = (
        images.resize(picture, *images.fit(*picture.shape[:2], 320))
        for picture in (
            images.read(PICTURES / f"{name}.jpg") for name in ("IMG_4343", "starry_night", "wave", "the_scream")
        )
    )
    for painting, expected in zip(paintings, (0.576, 0.430, 0.531)):
        assert vgg19.style_distance(photograph, painting) == pytest.approx(expected, abs=0.001)
    small = images.resize(photograph, 107, 160), images.resize(paintings[0], 100, 160)
    compare_with_pytorch(vgg19, dict(np.load(EXACT)), dict(np.load(COMPRESSED.with_name("vgg19_16x.npz"))), *small)
    squeezenet = eyes.load_squeezenet(SQUEEZENET)
    for painting, expected in zip(paintings, (0.719, 0.689, 0.630)):
        assert squeezenet.style_distance(photograph, painting) == pytest.approx(expected, abs=0.001)


@with_the_real_files
def test_a_published_picture_has_the_distances_measured_before() -> None:
    """The output of the MXNet example, made with VGG-19; measured before, with PyTorch: content distance .82."""
    vgg19 = eyes.load_vgg19([EXACT, COMPRESSED])
    photograph = images.resize(images.read(PICTURES / "IMG_4343.jpg"), 213, 320)
    picture = images.resize(images.read(PICTURES / "mxnet_example_output_600x400.jpg"), 213, 320)
    painting = images.resize(images.read(PICTURES / "starry_night.jpg"), 200, 320)
    assert vgg19.content_distance(picture, photograph) == pytest.approx(0.817, abs=0.001)
    assert vgg19.style_distance(picture, painting) == pytest.approx(0.0856, abs=0.0005)


def nothing_is_here(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Weights would be fetched to another, empty folder."""
    monkeypatch.setattr(eyes, "_EXACT_PATH", folder / "exact.npz")
    monkeypatch.setattr("models.spec.WEIGHTS_FOLDER", folder)


def test_a_judge_without_weights_is_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: tuple) -> None:
    nothing_is_here(monkeypatch, tmp_path)
    with pytest.raises(UserError, match=r"fetch.py vgg19.*fetch.py squeezenet"):
        eyes.load()
    found, left_out = eyes.load(vgg19_paths=files[:2])
    assert [judge.name for judge in found] == ["VGG-19"]
    assert len(left_out) == 1 and left_out[0].startswith("SqueezeNet is skipped") and "--squeezenet" in left_out[0]
    weights.save(tmp_path / "squeezenet.params", random_parameters("squeezenet"))
    found, left_out = eyes.load()
    assert [judge.name for judge in found] == ["SqueezeNet"] and "--vgg19" in left_out[0]
    for name, file in zip(("exact.npz", "vgg19_16x.params"), files):
        (tmp_path / name).symlink_to(file)
    found, left_out = eyes.load()
    assert [judge.name for judge in found] == ["VGG-19", "SqueezeNet"] and not left_out


def test_the_full_vgg19_is_preferred(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: tuple) -> None:
    nothing_is_here(monkeypatch, tmp_path)
    for name, file in zip(("exact.npz", "vgg19_16x.params"), files):
        (tmp_path / name).symlink_to(file)
    parameters = random_parameters("vgg19")
    weights.save(tmp_path / model_vgg19.SPEC.weights_file, parameters)
    picture = random_picture(40, 50, 0)
    found, expected = (judge.features(picture) for judge in (eyes.load_vgg19(), eyes.vgg19(parameters)))
    np.testing.assert_array_equal(found["relu5_1"], expected["relu5_1"])


def test_errors_name_unusable_files(tmp_path: Path, files: tuple) -> None:
    exact, compressed, stored, _ = files
    with pytest.raises(UserError, match="one or two files"):
        eyes.load_vgg19([exact, compressed, exact])
    with pytest.raises(UserError, match=r"absent\.npz"):
        eyes.load_vgg19([exact, tmp_path / "absent.npz"])
    with pytest.raises(UserError, match=r"exact\.npz"):
        eyes.load_vgg19([exact, exact])
    broken = tmp_path / "broken.npz"
    broken.write_bytes(exact.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"broken.npz.*damaged"):
        eyes.load_vgg19([broken, compressed])
    np.savez(broken, **{**stored, "conv2_1.bias": np.zeros(5, np.float32)})
    with pytest.raises(UserError, match=r"conv2_1_bias is stored with shape \(5,\), expected \(128,\)"):
        eyes.load_vgg19([broken, compressed])
    np.savez(broken, **{**stored, "conv2_1.bias": np.array([None] * 128)})
    with pytest.raises(UserError, match="conv2_1_bias is not a floating-point array"):
        eyes.load_vgg19([broken, compressed])
