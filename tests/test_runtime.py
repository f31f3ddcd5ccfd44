"""The environment of MXNet's import, and the correctness of its executors with tapped layers."""

from __future__ import annotations

import os

import numpy as np
import pytest
from helpers import mx, to_mx
from processes import output_of
from reference.numpy_vgg import convolution

from models import runtime


def test_usable_cores_follow_the_affinity():
    one = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{one}]); from models import runtime; print(runtime.usable_cores())"
    assert output_of(code) == "1"
    assert 1 <= runtime.usable_cores() <= len(os.sched_getaffinity(0))


def test_usable_cores_are_physical_ones(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3})
    monkeypatch.setattr(runtime, "_cgroup_quota", lambda: None)
    monkeypatch.setattr(runtime, "_thread_siblings", lambda cpu: {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}[cpu])
    assert runtime.usable_cores() == 2


@pytest.mark.parametrize(("quota", "cores"), [(None, 4), (1, 1), (3, 3), (9, 4)])
def test_usable_cores_stay_within_the_quota(monkeypatch, quota, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3})
    monkeypatch.setattr(runtime, "_cgroup_quota", lambda: quota)
    monkeypatch.setattr(runtime, "_thread_siblings", str)
    assert runtime.usable_cores() == cores


SETTINGS = ("OMP_NUM_THREADS", "MXNET_SUBGRAPH_BACKEND", "MXNET_SUBGRAPH_VERBOSE")


def settings_at_the_import(**environment):
    """The environment seen by MXNet at import; other settings are unset before."""
    code = f"""
import os, sys
from models import runtime

class Look:
    def find_spec(self, name, path=None, target=None):
        if name == "mxnet":
            print(*[os.environ[name] for name in {SETTINGS}], runtime.usable_cores())
            sys.exit()

for name in set({SETTINGS}) - set({list(environment)}):
    os.environ.pop(name, None)
sys.meta_path.insert(0, Look())
runtime.load_mxnet()
"""
    return output_of(code, **environment).split()


def test_the_threads_are_the_usable_cores_and_nothing_is_fused():
    threads, backend, verbose, cores = settings_at_the_import()
    assert threads == cores and backend == "default" and verbose == "0"


def test_user_settings_are_respected():
    assert settings_at_the_import(**dict.fromkeys(SETTINGS, "7"))[:3] == ["7", "7", "7"]


def test_the_names_removed_from_numpy_exist():
    assert (np.bool, np.int, np.float, np.object) == (bool, int, float, object)


def test_it_is_imported_once():
    assert runtime.load_mxnet() is mx


def test_amx_is_found_or_not():
    assert runtime.has_amx() in (True, False)


def test_amx_is_not_requested_without_support(monkeypatch):
    monkeypatch.setattr(runtime.platform, "machine", lambda: "aarch64")
    assert runtime.has_amx() is False and runtime._ask_for_amx() is False


@pytest.mark.parametrize(
    ("flags", "faster"),
    [
        ("GenuineIntel avx512f", False),
        ("GenuineIntel avx512f avx512_bf16", False),
        ("GenuineIntel avx512f avx512_bf16 amx_tile amx_bf16", True),
        ("AuthenticAMD avx512f", False),
        ("AuthenticAMD avx512f avx512_bf16", True),
    ],
)
def test_bfloat16_is_faster_with_amx_and_with_avx512_on_amd(monkeypatch, flags, faster):
    monkeypatch.setattr(runtime, "_has", lambda *wanted: set(wanted) <= set(flags.split()))
    assert runtime.is_faster_in_bfloat16() == faster


# Executors.

RANDOM = np.random.default_rng(1)
VALUES = {
    "data": RANDOM.normal(size=(1, 3, 9, 11)),
    "first_weight": RANDOM.normal(size=(4, 3, 3, 3)),
    "first_bias": RANDOM.normal(size=4),
    "second_weight": RANDOM.normal(size=(5, 4, 3, 3)),
    "second_bias": RANDOM.normal(size=5),
}


def tapped_graph():
    """conv -> relu -> conv -> relu with the first convolution and the last ReLU as outputs."""
    first = mx.sym.Convolution(mx.sym.Variable("data"), num_filter=4, kernel=(3, 3), pad=(1, 1), name="first")
    hidden = mx.sym.Activation(first, act_type="relu")
    second = mx.sym.Convolution(hidden, num_filter=5, kernel=(3, 3), pad=(1, 1), name="second")
    return mx.sym.Group([first, mx.sym.Activation(second, act_type="relu")])


def outputs(train):
    executor = tapped_graph().simple_bind(mx.cpu(), grad_req="write" if train else "null", data=VALUES["data"].shape)
    for name, values in VALUES.items():
        executor.arg_dict[name][:] = to_mx(values)
    return [output.asnumpy() for output in executor.forward(is_train=train)]


@pytest.mark.parametrize("train", [False, True])
def test_a_tapped_convolution_keeps_the_relu_after_it(train):
    """MXNet's graph fusion drops that ReLU in forward-only executors, which is why it is off."""
    first = convolution(VALUES["data"][0], VALUES["first_weight"], VALUES["first_bias"])
    last = np.maximum(convolution(np.maximum(first, 0), VALUES["second_weight"], VALUES["second_bias"]), 0)
    assert first.min() < 0
    for found, expected in zip(outputs(train), (first, last)):
        np.testing.assert_allclose(found[0], expected, atol=1e-4)
