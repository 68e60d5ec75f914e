"""Every kernel of gpu/ computes what reference.py defines: on a GPU, or in Triton's interpreter where there is none.

`conftest.py` switches the interpreter on. It lets some things through that a GPU does not, so all kernels are compiled too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from diffapf import kernels
from diffapf.kernels import reference

pytest.importorskip("triton", reason="Triton is not installed: the GPU kernels cannot be tested")

from diffapf.kernels import gpu
from diffapf.kernels.gpu.launch import Sizes
from tests.kernels.accuracy import RADII, assert_as_accurate_as_sequential, poles

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SMALL = Sizes(tile=16, taps=4, programs=8, chunk=7)  # several tiles, chunks and blocks in a short signal
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}
ORDERS = [1, 2, 3, 8, 22]  # scanned, scanned, and by chunks
STAGES = [1, 2, 4, 7]

# What a layout makes of a signal's length: how many frames there are, and when.
LAYOUTS = {
    "audio rate": lambda time: (time, None),
    "fixed": lambda time: (1, (0.0, 0.0)),
    "hop": lambda time: (4, (0.0, 3.3 / max(time, 1))),
    "offset": lambda time: (5, (-1.2, 0.17)),
}
EDGES = [(0, 5, 1), (1, 0, 1), (5, 0, 1), (1, 1, 1), (5, 1, 5), (2, 2, 1)]  # (rows, time, rows of coefficients)


class Random:
    """Tensors of normal numbers; coefficients small enough that no filter blows up."""

    def __init__(self, dtype: torch.dtype, seed: int = 0):
        self.generator, self.dtype = torch.Generator().manual_seed(seed), dtype

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, dtype=self.dtype)

    def within(self, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=self.generator, dtype=self.dtype)


def comb(x, alpha, delay, y):
    for n in range(x.shape[1]):
        y[:, n] = x[:, n] - (alpha * y[:, n - delay] if n >= delay else 0.0)


DEFINITIONS = {"comb": comb}


def assert_kernel_is_reference(
    name: str, inputs: tuple, shapes: list[tuple[int, ...]], coefficients: int | None = None
):
    """The outputs start as NaN: a sample left unwritten fails. `coefficients`: the input that rows may share."""
    dtype = inputs[0].dtype
    outputs = [torch.full(shape, torch.nan, dtype=dtype, device=DEVICE) for shape in shapes]
    expected = [torch.full(shape, torch.nan, dtype=torch.float64) for shape in shapes]
    doubles = [value.double() if isinstance(value, Tensor) else value for value in inputs]
    if coefficients is not None:
        shared = doubles[coefficients]
        doubles[coefficients] = shared[torch.arange(inputs[0].shape[0]) % shared.shape[0]]
    DEFINITIONS.get(name, getattr(reference, name, None))(*doubles, *expected)
    on_device = [value.to(DEVICE) if isinstance(value, Tensor) else value for value in inputs]
    takes_sizes = {} if name in ("ballistics", "allpass_output", "allpass_output_adjoint") else {"sizes": SMALL}
    getattr(gpu, name)(*on_device, *outputs, **takes_sizes)
    for i, (output, wanted) in enumerate(zip(outputs, expected, strict=True)):
        atol = TOLERANCE[dtype] * (1.0 + wanted.abs().max().item() if wanted.numel() else 1.0)
        message = f"output {i} of {name}"
        torch.testing.assert_close(
            output.cpu().double(), wanted, rtol=0, atol=atol, msg=lambda m, start=message: f"{start}: {m}"
        )


def check_filters(dtype: torch.dtype, layout: str, order: int, rows: int, time: int, a_rows: int) -> None:
    random = Random(dtype)
    frames, timing = LAYOUTS[layout](time)
    a = random.within(-0.9 / order, 0.9 / order, a_rows, frames, order)
    x, y, zi = random.normal(rows, time), random.normal(rows, time), random.normal(rows, order)
    past = random.normal(rows, time + order - 1)
    signal, frame_gradients = (rows, time), (rows, frames, order)
    assert_kernel_is_reference("allpole", (x, a, timing, zi), [signal], 1)
    assert_kernel_is_reference("allpole_adjoint", (x, a, timing, y, zi), [signal, frame_gradients, (rows, order)], 1)
    assert_kernel_is_reference("fir", (past, a, timing), [signal], 1)
    assert_kernel_is_reference("fir_transpose", (x, a, timing), [(rows, time + order - 1)], 1)
    assert_kernel_is_reference("fir_outer", (x, past, timing), [frame_gradients])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("order", ORDERS)
def test_filter_kernels_are_the_reference(layout, order):
    dtype = torch.float32 if (order + len(layout)) % 2 else torch.float64
    check_filters(dtype, layout, order, rows=2, time=53 if order < 3 else 29, a_rows=2)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_that_share_coefficients(dtype, order):
    check_filters(dtype, "audio rate", order, rows=4, time=21, a_rows=2)
    check_filters(dtype, "fixed", order, rows=3, time=9, a_rows=1)


@pytest.mark.parametrize(("rows", "time", "a_rows"), EDGES)
@pytest.mark.parametrize("layout", ["audio rate", "hop"])
def test_no_rows_no_samples_one_sample(layout, rows, time, a_rows):
    for order in (1, 2, 3):
        check_filters(torch.float64, layout, order, rows, time, a_rows)


@pytest.mark.parametrize("order", [1, 2, 5])
def test_adjoint_without_coefficients(order):
    random = Random(torch.float64)
    a, signals = random.within(-0.2, 0.2, 2, 20, order), [random.normal(2, 20) for _ in range(2)]
    inputs = signals[0], a, None, signals[1], random.normal(2, order)
    assert_kernel_is_reference("allpole_adjoint", inputs, [(2, 20), (2, 0, order), (2, order)])


@pytest.mark.parametrize("stages", STAGES)
@pytest.mark.parametrize(("rows", "time"), [(2, 31), (5, 1), (1, 2), (2, 0), (0, 3)])
def test_loop_kernels_are_the_reference(stages, rows, time):
    dtype = torch.float32 if stages in (1, 4) and time > 2 else torch.float64
    random = Random(dtype)
    p, loop = random.within(-0.95, 0.95, rows, time), random.within(-0.3, 0.3, rows, 4)
    zi, z = random.normal(rows, stages + 3), random.normal(rows, time, stages + 2)
    every, signal = (rows, time, stages + 2), (rows, time)
    for sources in (1, stages + 2):
        assert_kernel_is_reference("allpass", (random.normal(rows, time, sources), p, loop, zi), [every, signal])
    assert_kernel_is_reference("allpass_transpose", (random.normal(*every), p, loop), [every])
    gradients = [signal, signal, (rows, 4), (rows, stages + 3)]
    assert_kernel_is_reference("allpass_adjoint", (random.normal(*signal), p, loop, z, zi), gradients)
    inputs, ends = (random.normal(*signal), p, loop, random.normal(rows), zi), (rows, 1, stages + 3)
    assert_kernel_is_reference("allpass_output", inputs, [signal, ends])
    kept = random.normal(*signal), random.normal(*ends)  # not read here: the signals are made again
    assert_kernel_is_reference(
        "allpass_output_adjoint",
        (random.normal(*signal), *inputs, *kept),
        [signal, signal, (rows, 4), (rows,), zi.shape],
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("rows", "time"), [(3, 41), (1, 1), (2, 0), (0, 3)])
def test_ballistics_are_the_definition(dtype, rows, time):
    random = Random(dtype)
    g, at, rt = random.within(0.0, 1.0, rows, time), random.within(0.3, 0.9, rows), random.within(0.01, 0.2, rows)
    zi, y = random.within(0.5, 1.0, rows), torch.empty(rows, time, dtype=dtype)
    assert_kernel_is_reference("ballistics", (g, at, rt, zi), [(rows, time)])
    reference.ballistics(g, at, rt, zi, y)
    inputs = random.normal(rows, time), g, at, rt, zi, y
    assert_kernel_is_reference("ballistics_adjoint", inputs, [(rows, time), (rows,), (rows,), (rows,)])


@pytest.mark.parametrize(("time", "delay"), [(50, 3), (50, 1), (7, 20), (0, 2), (40, 8)])
def test_comb_is_the_definition(time, delay):
    random = Random(torch.float64)
    inputs = random.normal(3, time), random.within(-0.9, 0.9, 3), delay
    assert_kernel_is_reference("comb", inputs, [(3, time)])


def test_interpolation_does_not_drift():
    """Where float32 could not tell the positions of neighbouring samples apart."""
    random = Random(torch.float64)
    a, zi = random.within(-0.4, 0.4, 1, 5, 2), torch.zeros(1, 2, dtype=torch.float64)
    timing = (-2.0e7, 2.0e7 / 50 + 0.03)  # from sample 50 on among the frames
    assert_kernel_is_reference("allpole", (random.normal(1, 60), a, timing, zi), [(1, 60)])


@pytest.mark.parametrize("order", [1, 2, 4])
def test_nan_reaches_later_samples_of_its_row_only(order):
    random = Random(torch.float32)
    x, a = random.normal(3, 60).to(DEVICE), random.within(-0.2, 0.2, 3, 60, order).to(DEVICE)
    y, zi = torch.empty_like(x), torch.zeros(3, order, device=DEVICE)
    x[1, 25] = torch.nan
    gpu.allpole(x, a, None, zi, y, sizes=SMALL)
    assert bool(y[[0, 2]].isfinite().all()) and bool(y[1, :25].isfinite().all()) and bool(y[1, 25:].isnan().all())
    dx, da, dzi = torch.empty_like(x), torch.empty_like(a), torch.empty_like(zi)
    gpu.allpole_adjoint(x, a, None, torch.zeros_like(x), zi, dx, da, dzi, sizes=SMALL)
    assert bool(dx[[0, 2]].isfinite().all()) and bool(dx[1, 26:].isfinite().all()) and bool(dx[1, :26].isnan().all())


SMALL_CHUNKS = Sizes(tile=128, programs=4, chunk=75)


@pytest.mark.parametrize("radius", RADII)
@pytest.mark.parametrize("angles", [(), (0.01,), (1.0,)], ids=["order 1", "low frequency", "middle frequency"])
def test_float32_is_as_accurate_as_the_sequential_filter(radius, angles):
    assert_as_accurate_as_sequential(gpu, poles(radius, *angles), 700, device=DEVICE, sizes=SMALL_CHUNKS)


@pytest.mark.parametrize("radius", [0.99, 0.9999])
def test_float32_in_chunks_is_as_accurate_as_the_sequential_filter(radius):
    assert_as_accurate_as_sequential(gpu, poles(radius, 0.1, 1.0), 200, device=DEVICE, sizes=SMALL_CHUNKS)


def test_the_table_sends_what_the_kernels_take_to_them():
    """Real dtypes, orders and stages within the limits, on a GPU; all else goes on to the reference."""
    x, zi = torch.zeros(2, 5), torch.zeros(2, 3)
    assert gpu.applies("allpole", (x, torch.zeros(2, 5, 32), None, zi))
    assert not gpu.applies("allpole", (x, torch.zeros(2, 5, 33), None, zi))
    assert not gpu.applies("allpole", (x.half(), torch.zeros(2, 5, 3), None, zi))
    assert gpu.applies("fir", (x, torch.zeros(2, 5, 100), None))
    assert not gpu.applies("allpass", (x[..., None], x, torch.zeros(2, 4), torch.zeros(2, 20)))
    assert not gpu.applies("no_such_recurrence", (x,))
    assert kernels._on_gpu("allpole", (x, torch.zeros(2, 5, 3), None, zi)) is None


@pytest.mark.parametrize("capability", [80, 90])
def test_every_kernel_compiles_for_a_gpu(capability):
    """No GPU is needed: ptxas comes with Triton."""
    program = Path(__file__).with_name("compile_gpu.py")
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    root = str(Path(__file__).parents[2])
    environment["PYTHONPATH"] = os.pathsep.join([root, environment.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(program), str(capability)], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[0]) == 19, done.stdout
