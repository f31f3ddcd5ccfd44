"""The time of a step and the peak memory of ours and of PyTorch, measured side by side.

The step is that of every program of this kind: forward through the network, Gram losses of relu1_1 to relu5_1 and the
content loss of relu4_2, backward to the image. Weights are random. PyTorch is used here and in tests only.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import models
from models import runtime, vgg
from styletransfer.errors import StyleTransferError

STYLE = list(vgg.STYLE_LAYERS)
CONTENT = list(vgg.CONTENT_LAYERS)
_PROJECT = Path(__file__).resolve().parents[1]


def machine() -> str:
    """One line about the machine."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    amx = "AMX" if runtime.has_amx() else "no AMX"
    return f"{names[0] if names else platform.machine()}, {runtime.usable_cores()} cores used, {amx}"


def table(model_names: Sequence[str], sizes: Sequence[int], repeats: int, steps: int) -> Iterator[str]:
    """The lines of the table, as they are measured."""
    stacks = ["mxnet", "torch"] if importlib.util.find_spec("torch") else ["mxnet"]
    headings = ("network", "size", "s / step", "peak MB", "torch s", "torch MB", "time ratio", "memory")
    yield _row(headings[: 4 if len(stacks) == 1 else None])
    for model in model_names:
        for size in sizes:
            found: dict[str, list[tuple[float, float]]] = {stack: [] for stack in stacks}
            for _ in range(repeats):
                for stack in stacks:
                    found[stack].append(_in_process(stack, model, size, steps))
            seconds = {stack: statistics.median(second for second, _ in values) for stack, values in found.items()}
            memory = {stack: statistics.median(peak for _, peak in values) for stack, values in found.items()}
            cells = [model, f"{size} x {size}", f"{seconds['mxnet']:.3f}", f"{memory['mxnet']:.0f}"]
            if "torch" in found:
                ratio = statistics.median(
                    ours / theirs for (ours, _), (theirs, _) in zip(found["mxnet"], found["torch"])
                )
                cells += [f"{seconds['torch']:.3f}", f"{memory['torch']:.0f}", f"{ratio:.2f}"]
                cells.append(f"{memory['mxnet'] / memory['torch']:.2f}")
            yield _row(cells)
    if "torch" not in stacks:
        yield "(PyTorch is not installed here: pip install -r requirements-dev.txt for the comparison)"


def _row(cells: Sequence[str]) -> str:
    return f"{cells[0]:10}" + "".join(f"{cell:>12}" for cell in cells[1:])


def _in_process(stack: str, model: str, size: int, steps: int) -> tuple[float, float]:
    """Median seconds of a step and peak megabytes of a process that does nothing else."""
    command = [sys.executable, "-m", __name__, stack, model, str(size), str(steps)]
    done = subprocess.run(command, cwd=_PROJECT, capture_output=True, text=True)
    if done.returncode:
        raise StyleTransferError(
            f"measuring {stack} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}"
        )
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak


def pictures(size: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Content, style and image, (1, 3, size, size), random."""
    generator = np.random.default_rng(0)
    content, style, image = generator.normal(0, 60, (3, 1, 3, size, size)).astype(np.float32)
    return content, style, image


def mxnet_step(model: str, size: int) -> Callable[[], NDArray[np.float32]]:
    """A step of ours, ready to be timed; it returns the gradient."""
    mx = runtime.load_mxnet()
    from styletransfer import weights
    from styletransfer.conventions import CONVENTIONS
    from styletransfer.network import Source
    from styletransfer.objective import Objective, Weights
    from styletransfer.targets import find_targets

    spec = models.load(model).SPEC
    content, style, image = (mx.nd.array(picture) for picture in pictures(size))
    source = Source(model, spec.pooling, weights.random(spec, 0), mx.cpu())
    targets = find_targets(source, content, [(1.0, style)], CONTENT, STYLE, size, size)
    shares = Weights(1.0, dict.fromkeys(CONTENT, 1.0), 1.0, dict.fromkeys(STYLE, 1.0), 0.0)
    objective = Objective(source, targets, CONVENTIONS["balanced"], shares, None, 1.0, size, size)

    def step() -> NDArray[np.float32]:
        return objective(image).gradient.asnumpy() / image.size  # a relative convention multiplies by the size

    return step


def torch_step(model: str, size: int) -> Callable[[], NDArray[np.float32]]:
    """The same step in PyTorch, float32, channels first, as the PyTorch programs do it."""
    import torch
    from torch.nn import functional

    from styletransfer import weights

    torch.set_num_threads(runtime.usable_cores())
    module = models.load(model)
    parameters = {name: torch.from_numpy(array) for name, array in weights.random(module.SPEC, 0).items()}
    pool = functional.max_pool2d if module.SPEC.pooling == "max" else functional.avg_pool2d
    wanted = {*STYLE, *CONTENT}

    def features(image: torch.Tensor) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = {}
        for number, block in enumerate(module.BLOCKS, start=1):
            for position in range(1, len(block) + 1):
                suffix = f"{number}_{position}"
                weight, bias = parameters[f"conv{suffix}_weight"], parameters[f"conv{suffix}_bias"]
                image = functional.relu(functional.conv2d(image, weight, bias, padding=1))
                if f"relu{suffix}" in wanted:
                    found[f"relu{suffix}"] = image
                if len(found) == len(wanted):
                    return found
            image = pool(image, 2)
        return found

    def gram(value: torch.Tensor) -> torch.Tensor:
        flat = value.flatten(2)[0]
        return flat @ flat.T

    content, style, image = (torch.from_numpy(picture) for picture in pictures(size))
    with torch.no_grad():
        content_targets = {layer: features(content)[layer] for layer in CONTENT}
        style_targets = {layer: gram(value) for layer, value in features(style).items() if layer in STYLE}
    image.requires_grad_(True)

    def step() -> NDArray[np.float32]:
        image.grad = None
        found = features(image)
        shares = [
            (found[layer] - target).square().sum() / target.square().sum() for layer, target in content_targets.items()
        ]
        shares += [(gram(found[layer]) - a).square().sum() / a.square().sum() for layer, a in style_targets.items()]
        torch.stack([shares[0], *(share / len(STYLE) for share in shares[1:])]).sum().backward()
        return image.grad.numpy()  # type: ignore[attr-defined]

    return step


def measure(stack: str, model: str, size: int, steps: int) -> tuple[float, float]:
    """Median seconds of a step, and this process's peak resident memory in megabytes."""
    step = {"mxnet": mxnet_step, "torch": torch_step}[stack](model, size)
    step()
    times = []
    for _ in range(steps):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return statistics.median(times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(runtime.usable_cores()))
    _, stack_, model_, size_, steps_ = sys.argv
    print(json.dumps(measure(stack_, model_, int(size_), int(steps_))))
