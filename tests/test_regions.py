"""Runs with regions: masks are read, checked and divided; whole runs with scales, tiles and resumption."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import random_parameters, random_picture
from PIL import Image

from scripts.nstyle import main
from styletransfer import config as configs
from styletransfer import weights
from styletransfer.pictures import images
from styletransfer.pictures.moments import moments
from styletransfer.session import curves, inputs
from styletransfer.session.resolve import resolve
from styletransfer.support.errors import UserError

HEIGHT, WIDTH = 60, 80


def grey(path, values):
    """Write a mask, an array of 0..1."""
    images.write(path, np.repeat(np.asarray(values, dtype=float)[..., None], 3, axis=2))


@pytest.fixture(autouse=True)
def studio(tmp_path, monkeypatch):
    """Works in a folder with a photograph, paintings, masks and the weights of a random network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(curves, "plot", lambda *arguments: None)
    weights.save(tmp_path / "random.params", random_parameters("vgg_slim"))
    images.write(tmp_path / "photo.png", random_picture(HEIGHT, WIDTH, seed=1))
    for number, (height, width) in enumerate(((50, 44), (48, 64))):
        images.write(tmp_path / f"painting{number}.png", random_picture(height, width, seed=2 + number))
    ramp = np.broadcast_to(np.clip(np.linspace(-0.5, 1.5, WIDTH), 0, 1), (HEIGHT, WIDTH))
    grey(tmp_path / "left.png", 1 - ramp)
    grey(tmp_path / "right.png", ramp)
    grey(tmp_path / "half.png", np.full((HEIGHT, WIDTH), 0.5))
    grey(tmp_path / "black.png", np.zeros((HEIGHT, WIDTH)))
    grey(tmp_path / "white.png", np.ones((HEIGHT, WIDTH)))
    grey(tmp_path / "square.png", np.ones((60, 60)))
    grey(tmp_path / "large.png", np.ones((3 * HEIGHT, 3 * WIDTH)) * np.linspace(0, 1, 3 * WIDTH))
    grey(tmp_path / "top.png", np.arange(48)[:, None] * np.ones((1, 64)) < 24)
    (tmp_path / "broken.png").write_bytes((tmp_path / "left.png").read_bytes()[:60])
    return tmp_path


LEFT = {"content": "left.png", "style": "painting0.png"}
REST = {"style": {"painting1.png": "top.png"}}


def config_of(*regions, **keys):
    values = {
        "content": {"image": "photo.png"},
        "regions": list(regions),
        "size": WIDTH,
        "model": "vgg_slim",
        "weights": "random.params",
    }
    return configs.parse({**values, "precision": "float32", **keys}, "test")


def masks_of(*regions, **keys):
    """What is read of regions, at every scale."""
    return [pictures.regions for pictures in inputs.read_pictures(resolve(config_of(*regions, **keys)))]


def refused(*regions, **keys):
    with pytest.raises(UserError) as caught:
        masks_of(*regions, **keys)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# Masks.


def test_a_region_without_a_mask_gets_what_the_others_leave():
    ((left, rest),) = masks_of(LEFT, REST, scales=1)
    assert left.mask.shape == (HEIGHT, WIDTH)
    np.testing.assert_allclose(left.mask, images.read_mask("left.png"), atol=1e-6)
    np.testing.assert_allclose(left.mask + rest.mask, 1, atol=1e-6)
    assert left.paintings == {"painting0.png": (1.0, None)}
    (share, mask) = rest.paintings["painting1.png"]
    assert share == 1 and mask.shape == (60, 80) and mask[:28].min() == 1 and mask[32:].max() == 0


def test_masks_that_sum_to_white_divide_the_picture_at_every_scale():
    for regions in masks_of(LEFT, {"content": "right.png", "style": "painting1.png"}, scales=[32, 40, WIDTH]):
        np.testing.assert_allclose(sum(region.mask for region in regions), 1, atol=1e-9)
        assert 0 < regions[0].mask.mean() < 1


def test_one_region_may_be_everything():
    for regions in ([{"style": "painting0.png"}], [{"content": "white.png", "style": "painting0.png"}]):
        ((region,),) = masks_of(*regions, scales=1)
        np.testing.assert_allclose(region.mask, np.ones((HEIGHT, WIDTH)))


def test_paintings_have_shares_that_sum_to_1():
    style = {"painting0.png": 1, "painting1.png": {"mask": "top.png", "weight": 3}}
    (((region,), *_),) = [masks_of({"style": style, "weight": 2}, scales=1)]
    assert {name: share for name, (share, _) in region.paintings.items()} == {
        "painting0.png": 0.25,
        "painting1.png": 0.75,
    }
    assert region.weight == 2


def test_a_mask_of_another_size_is_resized():
    ((large, _),) = masks_of({"content": "large.png", "style": "painting0.png"}, REST, scales=1)
    np.testing.assert_allclose(large.mask, np.broadcast_to(np.linspace(0, 1, WIDTH), (HEIGHT, WIDTH)), atol=0.02)


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "RGBA"])
def test_a_mask_may_have_any_format(studio, mode):
    white = np.zeros((HEIGHT, WIDTH), np.uint8)
    white[:20] = 255
    picture = Image.fromarray(white)
    if mode == "I;16":
        picture = Image.fromarray(white.astype(np.uint16) * 257)
    elif mode == "RGBA":  # white on nothing
        picture = Image.merge("RGBA", [Image.new("L", picture.size, 255)] * 3 + [picture])
    else:
        picture = picture.convert(mode)
    picture.save(studio / "mask.png")
    ((region, _),) = masks_of({"content": "mask.png", "style": "painting0.png"}, REST, scales=1)
    np.testing.assert_allclose(region.mask, white / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("regions", "words"),
    [
        ([LEFT], "regions: the masks leave 70.0 % of the picture without a style: expected masks that cover it, or"),
        ([LEFT, {"content": "white.png", "style": "painting1.png"}], "regions: the masks overlap on 70.0 % of the pic"),
        ([LEFT, {"content": "black.png", "style": "painting1.png"}], "regions.1.content: black.png is black all over"),
        ([LEFT, {"style": {"painting1.png": "black2.png"}}], "regions.1.style.painting1.png.mask: black2.png is black"),
        ([{**LEFT, "content": "white.png"}, REST], "regions.1: the masks of the others leave nothing to it"),
        ([{**LEFT, "content": "square.png"}], "regions.0.content: square.png has 60 x 60 pixels, its picture 80 x 60"),
        ([{"style": {"painting0.png": "top.png"}}], "regions.0.style.painting0.png.mask: top.png has 64 x 48 pixels, "),
        ([{**LEFT, "content": "none.png"}, REST], "picture none.png: no such file"),
        ([LEFT, {"style": {"painting1.png": "none.png"}}], "picture none.png: no such file"),
        ([{**LEFT, "content": "random.params"}, REST], "picture random.params: not a picture"),
        ([{**LEFT, "content": "broken.png"}, REST], "picture broken.png: cannot be read"),
    ],
)
def test_masks_that_cannot_be_used_are_refused(studio, regions, words):
    grey(studio / "black2.png", np.zeros((48, 64)))
    assert refused(*regions, scales=1).startswith(words)


def test_proportions_may_differ_by_rounding_and_little_more(studio):
    for height, width, fits in ((31, 40, True), (30, 41, True), (600, 806, True), (600, 815, False), (6, 9, True)):
        grey(studio / "mask.png", np.ones((height, width)))
        region = {"content": "mask.png", "style": "painting0.png"}
        if fits:
            masks_of(region)
        else:
            assert "same proportions" in refused(region)


def test_the_mask_of_a_photograph_turned_by_its_camera_is_that_of_the_turned_one(studio):
    exif = Image.Exif()
    exif[274] = 6
    Image.open("photo.png").save(studio / "turned.jpg", exif=exif)
    grey(studio / "upright.png", np.ones((WIDTH, HEIGHT)))
    region = {"content": "upright.png", "style": "painting0.png"}
    ((found,),) = masks_of(region, content={"image": "turned.jpg"}, scales=1)
    assert found.mask.shape == (WIDTH, HEIGHT)
    assert "same proportions" in refused({**region, "content": "white.png"}, content={"image": "turned.jpg"})


# Runs.


def made(folder, *changes, regions=(LEFT, REST)):
    """Make a tiny picture; the exit status and the output folder."""
    settings = (
        *(
            f"regions={list(regions)!r}".replace("None", "null"),
            "model=vgg_slim",
            "weights=random.params",
            "size=80",
            "scales=2",
        ),
        *("optimizer.name=sgd", "style.weight=60", "stop.max_iterations=4", "precision=float32"),
    )
    arguments = ["--content", "photo.png", "--output", str(folder)]
    for change in (*settings, *changes):
        arguments += [change] if change.startswith("--") else ["--set", change]
    return main(arguments), folder


def test_a_run_with_regions_and_its_saved_config_again(studio):
    status, folder = made(studio / "first")
    assert status == 0
    curve = curves.read(folder / "curve.csv")
    layers = [f"proj{block}_1" for block in range(1, 6)]
    assert [column for column in curve.columns if column[0] == "style"] == [("style", layer) for layer in layers]
    assert curve.column("style")[-1] < 0.9 * curve.column("style")[0]
    assert main(["--config", str(folder / "config.yaml"), "--output", "again"]) == 0
    assert (studio / "again" / "image.png").read_bytes() == (folder / "image.png").read_bytes()


def test_a_run_with_regions_goes_on_as_if_nothing_had_been(studio):
    _, whole = made(studio / "whole")
    made(studio / "part", "stop.max_iterations=[4, 2]", "output.checkpoint_every=2")
    assert made(studio / "part", "output.checkpoint_every=2", "--resume", "--force")[0] == 0
    found, expected = (curves.read(folder / "curve.csv") for folder in (studio / "part", whole))
    assert curves.first_difference(expected, found, 0.0) is None


def test_a_run_does_not_go_on_with_another_mask(studio, capsys):
    made(studio / "run", "output.checkpoint_every=2")
    grey(studio / "left.png", images.read_mask("right.png"))
    assert made(studio / "run", "--resume", "--force")[0] == 2
    assert "--resume: regions.0.content: the file has changed" in capsys.readouterr().err


def test_tiled_runs_with_regions_are_the_same_to_rounding(studio):
    larger = ("size=240", "scales=1", "stop.max_iterations=2", "pooling=avg", "optimizer.learning_rate=0.1")
    _, whole = made(studio / "whole", *larger, "tile=off")
    _, tiled = made(studio / "tiled", *larger, "tile=144")
    first, second = (curves.read(folder / "curve.csv") for folder in (whole, tiled))
    assert curves.first_difference(first, second, 1e-4, 1e-6) is None


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("normalization", ["gatys", "mxnet"])
def test_regions_work_with_other_settings(studio, optimizer, normalization):
    weight = {"gatys": "1e-3", "mxnet": "1e-9"}[normalization]
    changes = (f"optimizer.name={optimizer}", f"normalization={normalization}", f"style.weight={weight}")
    status, folder = made(studio / "run", *changes, "tv.weight=0")
    assert status == 0
    totals = curves.read(folder / "curve.csv").column("total")
    assert np.isfinite(totals).all()


def test_a_texture_may_have_regions(studio):
    changes = ("content.weight=0", "content.image=null", "init={kind: noise}", "shape=[60, 80]")
    assert made(studio / "run", *changes)[0] == 0
    assert images.size(studio / "run" / "image.png") == (60, 80)


def test_a_mistake_is_one_line_and_nothing_is_written(studio, capsys):
    status, folder = made(studio / "run", regions=[LEFT])
    assert status == 2 and not folder.exists()
    assert capsys.readouterr().err.startswith("error: regions: the masks leave 70.0 % of the picture")


# The start.


def test_the_start_has_the_colours_of_the_paintings_in_their_regions():
    grey("third.png", np.ones((HEIGHT, 1)) * (np.arange(WIDTH) < WIDTH // 3))
    images.write("dark.png", 0.3 * images.read("painting0.png"))
    regions = {"content": "third.png", "style": "dark.png"}, REST
    ((third, rest),) = masks_of(*regions, scales=1)
    (pictures,) = inputs.read_pictures(resolve(config_of(*regions, scales=1, init={"kind": "matched"})))
    (_, dark), (_, other) = pictures.styles
    for region, style, mask in ((third, dark, None), (rest, other, rest.paintings["painting1.png"][1])):
        found, wanted = moments(pictures.start, region.mask), moments(style, mask)
        np.testing.assert_allclose(found.mean, wanted.mean, atol=1e-5)
        np.testing.assert_allclose(found.covariance, wanted.covariance, atol=1e-5)
