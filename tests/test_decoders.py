"""The training of the decoders: transformed features, what is saved, resuming."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models import decoders
from research import decoders as training
from research.distillation import crops
from styletransfer import weights

LAYER = "proj1_1"


def pictures(seed: int) -> crops.Crops:
    from PIL import Image

    values = np.random.default_rng(seed).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    return crops.Crops([crops.Group(1.0, [Image.fromarray(values)], varied=False)], np.random.default_rng(seed))


def test_transformed_features_have_the_moments_of_the_style() -> None:
    generator = torch.Generator().manual_seed(0)
    content, style = (torch.randn(2, 5, 9, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    style = style * torch.tensor([1.0, 2, 3, 4, 5])[:, None, None] + 1
    found = training.transformed(content, style, torch.tensor([1.0, 0.0]))
    first, wanted = found[0].flatten(1), style[0].flatten(1)
    torch.testing.assert_close(first.mean(1), wanted.mean(1))
    torch.testing.assert_close(torch.cov(first), torch.cov(wanted))
    torch.testing.assert_close(found[1], content[1])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_SIDE", 32)
    monkeypatch.setattr(training, "_SAVE_EVERY", 1)


def trained(folder: Path) -> weights.Parameters:
    folder.mkdir(exist_ok=True)
    contents, styles = pictures(1), pictures(2)
    styles.generator = contents.generator
    return training.train(LAYER, contents, styles, 4, 0, folder)


def test_a_training_that_is_interrupted_and_resumed_is_the_same(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(tmp_path / "whole")
    steps, losses = [], training.losses

    def interrupted(*arguments: object) -> object:
        steps.append(None)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return losses(*arguments)

    monkeypatch.setattr(training, "losses", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts")
    resumed = trained(tmp_path / "parts")
    assert len(steps) == 5  # the third was not finished, and is repeated
    for name, values in whole.items():
        np.testing.assert_array_equal(resumed[name], values)


def test_parameters_are_those_for_images_and_features_as_they_are() -> None:
    """Away from the scales with which the decoder is trained."""
    decoder = training.Decoder(LAYER, scale=0.25, seed=0)
    average = {name: values.detach() for name, values in decoder.values.items()}
    saved = weights.check(decoders.spec(LAYER), decoder.parameters_of_spec(average), Path("saved"))
    features = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    see = training.to_torch.features(
        decoders.spec(LAYER), {name: torch.tensor(values) for name, values in saved.items()}, [decoders.image(LAYER)]
    )
    expected = decoder(features).detach()
    found = see(features)[decoders.image(LAYER)]
    assert float((found - expected).norm() / expected.norm()) < 0.02  # the training is in bfloat16
