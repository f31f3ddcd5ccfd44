"""The environment of MXNet's import, and the correctness of its executors with tapped layers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from helpers import mxnet
from processes import NSTYLE, PROJECT, output_of, python
from reference.numpy_vgg import convolution

from models import runtime
from models.threads import InvalidSetting
from styletransfer.api import calls
from styletransfer.cli.guard import guarded
from styletransfer.support.errors import UserError
from styletransfer.sweeps import local

SETTINGS = ("OMP_NUM_THREADS", "MXNET_SUBGRAPH_BACKEND", "MXNET_SUBGRAPH_VERBOSE")


def settings_at_the_import(**environment):
    """The environment seen by MXNet at import; other settings are unset before."""
    code = f"""
import os, sys
from models import runtime, threads

class Look:
    def find_spec(self, name, path=None, target=None):
        if name == "mxnet":
            print(*[os.environ[name] for name in {SETTINGS}], threads.usable_cores())
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
    mxnet()
    assert (np.bool, np.int, np.float, np.object) == (bool, int, float, object)


def test_it_is_imported_once():
    assert mxnet() is runtime.load_mxnet() is sys.modules["mxnet"]


# Environment variables that would end or corrupt the process.


def test_mxnet_is_given_one_number_of_threads():
    assert settings_at_the_import(OMP_NUM_THREADS="2,1")[0] == "2"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("OMP_NUM_THREADS", value) for value in ("abc", "0", "-1", "1.5", "1e1", ",2", "99999999999", "²")),
        ("DNNL_MAX_CPU_ISA", "AVX512_CORE_AMX"),
    ],
)
def test_a_value_that_would_end_or_corrupt_the_process_is_one_line(monkeypatch, capsys, name, value):
    monkeypatch.setenv(name, value)
    assert guarded(runtime.check_environment) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {name}: ") and value in line and "; expected " in line
    with pytest.raises(InvalidSetting):
        runtime.load_mxnet.__wrapped__()
    with pytest.raises(UserError, match=f"^{name}: "), calls.plain_errors():
        runtime.check_environment()
    with pytest.raises(InvalidSetting):
        local.environment(2)


def test_such_a_value_ends_a_run_before_anything_is_written(tmp_path):
    done = python(
        *(NSTYLE, "--content", "input/coffee.jpg", "--style", "input/night.jpg", "--output", tmp_path / "run"),
        OMP_NUM_THREADS="abc",
    )
    assert done.returncode == 2 and not (tmp_path / "run").exists()
    assert done.stderr == "error: OMP_NUM_THREADS: 'abc' is not a number of threads; expected one such as 2\n"


@pytest.mark.parametrize("value", ["ALL", "DEFAULT", "AVX2", "AVX512_CORE_BF16", "avx512_core_amx", ""])
def test_other_limits_of_instructions_are_left_to_onednn(monkeypatch, value):
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", value)
    runtime.check_environment()
    assert os.environ["DNNL_MAX_CPU_ISA"] == value


# Crashes.

CRASH = """
import ctypes, pathlib, signal
from models import runtime
runtime.load_mxnet().nd.ones(1).asnumpy()
(caught,) = [line.split()[1] for line in pathlib.Path("/proc/self/status").read_text().splitlines() if "SigCgt" in line]
print([number.name for number in runtime._CRASHES if int(caught, 16) >> number - 1 & 1], flush=True)
ctypes.string_at(0)
"""


@pytest.mark.parametrize("options", [(), ("-X", "faulthandler")])
def test_a_crash_ends_the_process_at_once_with_the_status_of_its_signal(options):
    """MXNet's own handler would print a second traceback and call `exit`, which may hang."""
    mxnet()
    command = [sys.executable, *options, "-c", CRASH]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=PROJECT, stdout=pipe, stderr=pipe, text=True) as process:
        caught = process.stdout.readline()
        try:
            assert process.wait(10) == -signal.SIGSEGV
        finally:
            process.kill()
        said = process.stderr.read()
    if options:
        assert said.count("Segmentation fault") == 1 and "Fatal Python error" in said and "SIGABRT" in caught
    else:
        assert said == "" and caught == "[]\n"


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
    mx = mxnet()
    first = mx.sym.Convolution(mx.sym.Variable("data"), num_filter=4, kernel=(3, 3), pad=(1, 1), name="first")
    hidden = mx.sym.Activation(first, act_type="relu")
    second = mx.sym.Convolution(hidden, num_filter=5, kernel=(3, 3), pad=(1, 1), name="second")
    return mx.sym.Group([first, mx.sym.Activation(second, act_type="relu")])


def outputs(train):
    grad_req = "write" if train else "null"
    executor = tapped_graph().simple_bind(mxnet().cpu(), grad_req=grad_req, data=VALUES["data"].shape)
    for name, values in VALUES.items():
        executor.arg_dict[name][:] = values
    return [output.asnumpy() for output in executor.forward(is_train=train)]


@pytest.mark.parametrize("train", [False, True])
def test_a_tapped_convolution_keeps_the_relu_after_it(train):
    """MXNet's graph fusion drops that ReLU in forward-only executors, which is why it is off."""
    first = convolution(VALUES["data"][0], VALUES["first_weight"], VALUES["first_bias"])
    last = np.maximum(convolution(np.maximum(first, 0), VALUES["second_weight"], VALUES["second_bias"]), 0)
    assert first.min() < 0
    for found, expected in zip(outputs(train), (first, last)):
        np.testing.assert_allclose(found[0], expected, atol=1e-4)
