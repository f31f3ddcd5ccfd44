"""Train the decoders of the bundled network, for whitening and colouring transforms.

A decoder learns to rebuild pictures from their features, and to paint pictures that have given features: those of a
photograph, whitened and coloured to those of a painting (Y. Li et al., Universal Style Transfer via Feature Transforms,
2017, https://arxiv.org/abs/1705.08086, trains on the former only). It needs PyTorch (requirements-dev.txt). A training
that was interrupted continues. `models/weights/vgg_slim_decoders.md` has the results.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch import Tensor

from models import decoders, model_vgg_slim, to_torch
from research.compress import eight_bits
from research.distillation import crops
from styletransfer import weights
from styletransfer.support.files import atomic_write

_SIDE, _COUNT = 256, 2  # of a batch: pixels, contents and styles
_LEARNING_RATE, _WARM_UP = 1.5e-3, 100
_AVERAGED = 0.998  # of the average of the weights, which is the result
_PIXELS, _FEATURES, _TRANSFORMED, _VARIATION = 1.0, 0.3, 1.0, 0.02  # weights of the losses
_OUTPUT = 64.0  # the scale of images that suits Adam
_REPORT_EVERY, _SAVE_EVERY = 50, 250
_LEAST = 1e-5  # of an eigenvalue, share of the largest


def encoder(layers: Iterable[str]) -> Callable[[Tensor], dict[str, Tensor]]:
    """The bundled network, in bfloat16."""
    spec = model_vgg_slim.SPEC
    parameters = {
        name: torch.from_numpy(values).bfloat16().contiguous(memory_format=torch.channels_last)
        if values.ndim == 4
        else torch.from_numpy(values).bfloat16()
        for name, values in weights.load(spec).items()
    }
    see = to_torch.features(spec, parameters, layers)
    return lambda images: see(images.bfloat16().contiguous(memory_format=torch.channels_last))


def power(covariance: Tensor, exponent: float) -> Tensor:
    """A power of covariances, (n, channels, channels), without their smallest eigenvalues."""
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > _LEAST * values[:, -1:]
    powers = torch.where(kept, values.clamp(min=1e-30) ** exponent, 0.0)
    return (vectors * powers[:, None]) @ vectors.mT


def transformed(content: Tensor, style: Tensor, strength: Tensor) -> Tensor:
    """Features (n, channels, h, w) with means and covariances moved to those of others by `strength`, (n,)."""
    c, s = (features.double().flatten(2) for features in (content, style))
    mean_c, mean_s = c.mean(2, keepdim=True), s.mean(2, keepdim=True)
    c, s = c - mean_c, s - mean_s
    coloured = power(s @ s.mT / s.shape[2], 0.5) @ (power(c @ c.mT / c.shape[2], -0.5) @ c) + mean_s
    share = strength.double()[:, None, None]
    return (share * coloured + (1 - share) * (c + mean_c)).reshape(content.shape).to(content.dtype)


class Decoder(torch.nn.Module):
    """The decoder of a layer, trained on features over `scale` and images over 64."""

    def __init__(self, layer: str, scale: float, seed: int) -> None:
        super().__init__()
        self.spec, self.scale = decoders.spec(layer), scale
        self._image = decoders.image(layer)
        start = weights.random(self.spec, seed)
        start[f"{self._image}_weight"] *= 0.1  # begins near grey
        self.values = torch.nn.ParameterDict(
            {name: torch.nn.Parameter(torch.from_numpy(values)) for name, values in start.items()}
        )

    def forward(self, features: Tensor) -> Tensor:
        parameters = {name: values.bfloat16() for name, values in self.values.items()}
        see = to_torch.features(self.spec, parameters, [self._image])
        return see((features / self.scale).bfloat16())[self._image].float() * _OUTPUT

    def parameters_of_spec(self, values: dict[str, Tensor]) -> weights.Parameters:
        """Parameters for features and images as they are, of those of :attr:`values` or an average."""
        first, *_, last = (name for name in values if name.endswith("_weight"))
        found = {name: array.detach().numpy().copy() for name, array in values.items()}
        found[first] /= self.scale
        for name in (last, last.replace("_weight", "_bias")):
            found[name] *= _OUTPUT
        return found


def losses(
    decoder: Decoder, layer: str, see: Callable, content: Tensor, style: Tensor, strength: Tensor
) -> list[Tensor]:
    """The errors of the pixels, the features, and the transformed features, relative to variances; the variation."""
    with torch.no_grad():
        true = see(content)
        target = transformed(true[layer], see(style)[layer], strength)
    images = decoder(torch.cat([true[layer], target]))
    rebuilt, painted = images.split(len(content))
    seen = see(images)
    features = [_error(seen[name][: len(content)], true[name]) for name in seen]
    variation = sum((painted.diff(dim=axis).square().mean() for axis in (2, 3)), torch.zeros(()))
    return [
        _error(rebuilt, content),
        torch.stack(features).mean(),
        _error(seen[layer][len(content) :], target),
        variation / _OUTPUT**2,
    ]


def _error(values: Tensor, target: Tensor) -> Tensor:
    values, target = values.float(), target.float()
    return (values - target).square().sum() / (target - target.mean((2, 3), keepdim=True)).square().sum()


def train(
    layer: str, contents: crops.Crops, styles: crops.Crops, steps: int, seed: int, work: Path
) -> weights.Parameters:
    """Train the decoder of a layer, or continue; checkpoints are written to the folder `work`."""
    generator = contents.generator
    see = encoder([name for name in decoders.LAYERS if name <= layer])
    probe = see(crops.entered(contents.batch(8, _SIDE)))[layer].float()
    decoder = Decoder(layer, float(probe.square().mean().sqrt()), seed)
    average = {name: values.detach().clone() for name, values in decoder.values.items()}
    optimizer = torch.optim.Adam(decoder.parameters(), lr=_LEARNING_RATE)
    step, checkpoint = 0, work / f"{layer}.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        step, decoder.scale, average = saved["step"], saved["scale"], saved["average"]
        decoder.load_state_dict(saved["decoder"])
        optimizer.load_state_dict(saved["optimizer"])
        generator.bit_generator.state = json.loads(saved["generator"])
    started, means = time.monotonic(), np.zeros(4)
    while step < steps:
        for group in optimizer.param_groups:
            group["lr"] = _LEARNING_RATE * min(1.0, (step + 1) / _WARM_UP, 4 * (1 - step / steps) + 0.01)
        content, style = (crops.entered(source.batch(_COUNT, _SIDE)) for source in (contents, styles))
        strength = torch.from_numpy(generator.uniform(0.4, 1.0, _COUNT))
        found = losses(decoder, layer, see, content, style, strength)
        optimizer.zero_grad()
        factors = (_PIXELS, _FEATURES, _TRANSFORMED, _VARIATION)
        sum(factor * loss for factor, loss in zip(factors, found)).backward()  # type: ignore[union-attr]
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        keep = min(_AVERAGED, (step + 1) / (step + 10))
        for name, values in decoder.values.items():
            average[name].lerp_(values.detach(), 1 - keep)
        means += [loss.item() for loss in found]
        step += 1
        if step % _REPORT_EVERY == 0:
            seconds = (time.monotonic() - started) / _REPORT_EVERY
            print(layer, step, f"{seconds:.2f} s", *(f"{mean:.4f}" for mean in means / _REPORT_EVERY), flush=True)
            started, means = time.monotonic(), np.zeros(4)
        if step % _SAVE_EVERY == 0 or step == steps:
            state = {"decoder": decoder.state_dict(), "optimizer": optimizer.state_dict(), "average": average}
            counts = {"step": step, "scale": decoder.scale, "generator": json.dumps(generator.bit_generator.state)}
            with atomic_write(checkpoint) as stream:
                torch.save({**state, **counts}, stream)
    return decoder.parameters_of_spec(average)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="files, or folders of them")
    parser.add_argument("--paintings", type=Path, nargs="+", required=True, help="files, or folders of them")
    parser.add_argument("--leave-out", nargs="*", default=[], help="names of files to leave out")
    parser.add_argument("--layers", nargs="+", default=decoders.LAYERS, choices=decoders.LAYERS)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoints and the results")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    photos = crops.load(crops.picture_files(options.photos, options.leave_out))
    paintings = crops.load(crops.picture_files(options.paintings, options.leave_out), longest=800)
    arrays: weights.Parameters = {}
    for layer in options.layers:
        generator = np.random.default_rng(options.seed)
        plain = [crops.Group(0.55, photos, varied=False), crops.Group(0.25, paintings, varied=False)]
        contents = crops.Crops([*plain, crops.Group(0.2, photos)], generator)
        styles = crops.Crops([crops.Group(0.8, paintings), crops.Group(0.2, photos)], generator)
        arrays |= train(layer, contents, styles, options.steps, options.seed, options.work)
    arrays = {name: eight_bits(values) if values.ndim > 1 else values for name, values in arrays.items()}
    weights.save(options.work / decoders.FILE, arrays)


if __name__ == "__main__":
    main()
