"""The device on which a network is computed."""

from __future__ import annotations

from models.runtime import Context, load_mxnet
from styletransfer.support.errors import UserError


def context_of(device: str) -> Context:
    """The MXNet context of ``cpu`` or ``gpu:N``.

    Raises
    ------
    UserError
        If there is no such device.
    """
    mx = load_mxnet()
    if device == "cpu":
        return mx.cpu()
    number = int(device.partition(":")[2])
    try:
        present = mx.context.num_gpus()
    except mx.MXNetError:
        present = 0
    if number >= present:
        raise UserError(
            f"device: {device} not found; this MXNet sees {present} GPUs (the mxnet package is built without CUDA: see "
            "docs/cluster.md)"
        )
    return mx.gpu(number)
