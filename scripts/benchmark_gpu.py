"""Checks the Triton kernels on a CUDA GPU and times them: `python scripts/benchmark_gpu.py --write benchmarks/gpu.md`.

First every kernel against the definition in float64, and the operators that are made of several against the CPU's: one
that differs is not timed. Then the bandwidth of a plain copy, and how much of it each filter of order 1 and 2 reaches,
counting each number that must be read or written once. Then the all-pole filter beside torchlpc's and philtorch's, forward
and forward + backward, where they are installed.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from diffapf import allpole, lfilter, sosfilt
from diffapf.filters.iir import FORMS
from diffapf.kernels import reference

DEVICE = "cuda"
SHAPES = ((1, 1 << 24), (16, 1 << 20), (1024, 1 << 14))  # B·T = 2²⁴
RACES = [(batch, length) for length in (48_000, 480_000, 4_800_000) for batch in (1, 8, 64)]
HOP = 240


@dataclass
class Table:
    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def markdown(self) -> str:
        lines = [f"## {self.title}\n", "| " + " | ".join(self.head) + " |", "|" + " --- |" * len(self.head)]
        return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in self.rows]) + "\n"


def milliseconds(function: Callable[[], object]) -> float:
    from triton.testing import do_bench

    return do_bench(function, return_mode="median")


def within(limit: float, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return (2 * torch.rand(shape, dtype=dtype, device=DEVICE) - 1) * limit


def normal(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, dtype=dtype, device=DEVICE)


# ------------------------------------------------------------------------------------------------------------ checks


def problems(rows: int, time: int) -> dict[str, tuple[str, tuple, list[tuple[int, ...]]]]:
    """Of each check: the kernel's name, its inputs, and the shapes of its outputs."""
    found: dict[str, tuple[str, tuple, list[tuple[int, ...]]]] = {}
    signal = (rows, time)
    for layout, frames, timing in (
        ("audio rate", time, None),
        ("fixed", 1, (0.0, 0.0)),
        ("control rate", 9, (0.0, 8.0 / time)),
    ):
        for order in (1, 2, 3, 8, 22, 32):
            a, zi = within(0.9 / order, rows, frames, order), normal(rows, order)
            x, y, past = normal(*signal), normal(*signal), normal(rows, time + order - 1)
            case = f"order {order}, {layout}"
            gradients = [signal, (rows, frames, order), (rows, order)]
            found[f"allpole, {case}"] = "allpole", (x, a, timing, zi), [signal]
            found[f"allpole_adjoint, {case}"] = "allpole_adjoint", (x, a, timing, y, zi), gradients
            found[f"fir, {case}"] = "fir", (past, a, timing), [signal]
            found[f"fir_transpose, {case}"] = "fir_transpose", (x, a, timing), [tuple(past.shape)]
            found[f"fir_outer, {case}"] = "fir_outer", (x, past, timing), [tuple(a.shape)]
    for stages in (1, 4, 8):
        p, loop, zi = within(0.95, *signal), within(0.3, rows, 4), normal(rows, stages + 3)
        z, every = normal(*signal, stages + 2), (*signal, stages + 2)
        gradients = [signal, signal, (rows, 4), (rows, stages + 3)]
        found[f"allpass, {stages} stages"] = "allpass", (z[:, :, :1].contiguous(), p, loop, zi), [every, signal]
        found[f"allpass_transpose, {stages} stages"] = "allpass_transpose", (z, p, loop), [every]
        found[f"allpass_adjoint, {stages} stages"] = "allpass_adjoint", (normal(*signal), p, loop, z, zi), gradients
    return found


def largest_error(name: str, inputs: tuple, shapes: list[tuple[int, ...]]) -> float:
    """Relative to the largest number of the output; outputs that are not written are NaN, and their error too."""
    from diffapf.kernels import gpu

    outputs = [torch.full(shape, torch.nan, dtype=torch.float64, device=DEVICE) for shape in shapes]
    expected = [torch.empty(shape, dtype=torch.float64) for shape in shapes]
    getattr(gpu, name)(*inputs, *outputs)
    getattr(reference, name)(*(value.cpu() if isinstance(value, Tensor) else value for value in inputs), *expected)
    pairs = zip(outputs, expected, strict=True)
    errors = [((output.cpu() - wanted).abs().max() / wanted.abs().max()).item() for output, wanted in pairs]
    return float("nan") if any(error != error for error in errors) else max(errors)


def check_all(rows: int = 3, time: int = 3000) -> Table:
    table = Table("Against the definition, float64", ("kernel", "largest relative error"), [])
    for case, problem in problems(rows, time).items():
        error = largest_error(*problem)
        if not error < 1e-9:
            raise SystemExit(f"{case}: differs from the definition ({error:.1e}); nothing is timed")
        table.rows.append((case, f"{error:.0e}"))
    return table


def operators(rows: int, time: int) -> Iterator[tuple[str, Callable[..., Tensor], tuple[Tensor, ...]]]:
    """What has no kernel of its own on a GPU, but is made of those that there are: name, function of its inputs, these."""
    for layout, frames, hop in (("audio rate", (time,), None), ("fixed", (), None), ("control rate", (9,), time / 8)):
        x, b = normal(rows, time), normal(rows, *frames, 3, 3)
        a = torch.cat([torch.ones_like(b[..., :1]), within(0.4, rows, *frames, 3, 2)], -1)
        for form in FORMS:
            function = functools.partial(lfilter, form=form, hop=hop)
            yield f"lfilter {form}, {layout}", function, (b[..., 0, :], a[..., 0, :], x)
        yield f"sosfilt, {layout}", functools.partial(sosfilt, hop=hop), (torch.cat([b, a], -1), x)


def check_operators(rows: int = 3, time: int = 3000) -> Table:
    """Outputs and gradients against those of the CPU's kernels."""
    table = Table("Made of these, against the CPU, float64", ("operator", "largest relative error"), [])
    for case, function, inputs in operators(rows, time):
        found, expected = (results(function, tuple(value.to(at) for value in inputs)) for at in (DEVICE, "cpu"))
        pairs = zip(found, expected, strict=True)
        error = max(((one.cpu() - other).abs().max() / other.abs().max()).item() for one, other in pairs)
        if not error < 1e-9:
            raise SystemExit(f"{case}: differs from the CPU's ({error:.1e}); nothing is timed")
        table.rows.append((case, f"{error:.0e}"))
    return table


def results(function: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The output, and the gradients of all inputs, of its energy."""
    inputs = tuple(value.detach().requires_grad_() for value in inputs)
    y = function(*inputs)
    return y.detach(), *torch.autograd.grad(y.square().sum(), inputs)


# --------------------------------------------------------------------------------------------------------- bandwidth


def copy_bandwidth() -> float:
    """Bytes a second, read and written, of `Tensor.copy_` on 1 GiB."""
    source = torch.empty(1 << 28, dtype=torch.float32, device=DEVICE)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / milliseconds(lambda: target.copy_(source)) * 1e3


def bandwidths(copy: float) -> Table:
    from diffapf.kernels import gpu

    head = ("case", "B × T", "ms", "GB/s", "of the copy's")
    table = Table("Bandwidth at B·T = 2²⁴, float32", head, [])

    def add(case: str, x: Tensor, words: int, function: Callable[[], object]) -> None:
        took = milliseconds(function)
        reached = words * x.numel() * 4 / took * 1e3
        shape = f"{x.shape[0]} × {x.shape[1]}"
        table.rows.append((case, shape, f"{took:.3f}", f"{reached / 1e9:.0f}", f"{reached / copy:.0%}"))

    for order in (1, 2):
        for batch, length in SHAPES:
            layouts = {
                "audio rate": (length, None, order),
                "fixed": (1, (0.0, 0.0), 0),
                "control rate": (length // HOP + 1, (0.0, 1 / HOP), 0),
            }
            for layout, (frames, timing, words) in layouts.items():
                a = within(0.9 / order, batch, frames, order, dtype=torch.float32)
                x, zi = normal(batch, length, dtype=torch.float32), normal(batch, order, dtype=torch.float32)
                y, dx, da, dzi = (torch.empty_like(like) for like in (x, x, a, zi))
                case = f"order {order}, {layout}"
                gpu.allpole(x, a, timing, zi, y)
                add(f"{case}, forward", x, 2 + words, lambda i=(x, a, timing, zi, y): gpu.allpole(*i))
                backward = (x, a, timing, y, zi, dx, da, dzi)
                add(f"{case}, backward", x, 3 + 2 * words, lambda i=backward: gpu.allpole_adjoint(*i))
    return table


# ------------------------------------------------------------------------------------------------------------- races


def peers() -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """The rivals that are installed: time-varying all-pole filters, called (x, a)."""
    found: dict[str, Callable[[Tensor, Tensor], Tensor]] = {}
    try:
        from torchlpc import sample_wise_lpc

        found["torchlpc"] = sample_wise_lpc
    except ImportError as missing:
        print(f"without torchlpc: {missing}")
    try:
        from philtorch import lpv

        def philtorch(x: Tensor, a: Tensor) -> Tensor:
            """Its fastest path on CUDA: the scan for order 1, the state-space form for others."""
            if a.shape[2] == 1:
                return lpv.linear_recurrence(-a[:, :, 0], x.new_zeros(x.shape[0]), x)
            return lpv.lfilter(torch.ones_like(x)[:, :, None], a, x, form="df2")

        found["philtorch"] = philtorch
    except ImportError as missing:
        print(f"without philtorch: {missing}")
    return found


def both_ways(function: Callable[[Tensor, Tensor], Tensor], x: Tensor, a: Tensor, g: Tensor) -> object:
    return torch.autograd.grad(function(x, a), (x, a), g)


def race(function: Callable[[Tensor, Tensor], Tensor], x: Tensor, a: Tensor, g: Tensor) -> tuple[str, str]:
    """Milliseconds forward, and forward + backward."""
    still = x.detach(), a.detach()
    try:
        forward = milliseconds(lambda: function(*still))
        return f"{forward:.3f}", f"{milliseconds(lambda: both_ways(function, x, a, g)):.3f}"
    except torch.cuda.OutOfMemoryError:
        return "out of memory", "out of memory"


def races() -> Table:
    rivals = {"diffapf": allpole, **peers()}
    head = ["order", "B × T", *(f"{name}, {way}" for name in rivals for way in ("forward", "forward + backward"))]
    table = Table("Time-varying all-pole filter, float32, ms", tuple(head), [])
    for order in (1, 2, 22):
        for batch, length in RACES:
            if batch * length * order > 1 << 31:
                continue  # the coefficients alone would take 8 GB, their gradient and the rivals' copies as much again
            x = normal(batch, length, dtype=torch.float32).requires_grad_()
            a = within(0.9 / order, batch, length, order, dtype=torch.float32).requires_grad_()
            g = normal(batch, length, dtype=torch.float32)
            times = [time for function in rivals.values() for time in race(function, x, a, g)]
            table.rows.append((str(order), f"{batch} × {length}", *times))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="also write the tables as Markdown, for example benchmarks/gpu.md")
    parser.add_argument("--check", action="store_true", help="check the kernels, time nothing")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.exit(2, "error: this needs a CUDA GPU, and PyTorch finds none\n")
    try:
        import triton
    except ImportError as missing:
        parser.exit(2, f"error: the GPU kernels need Triton ({missing}): pip install triton\n")
    tables = [check_all(), check_operators()]
    machine = f"{torch.cuda.get_device_name()} · torch {torch.__version__}, triton {triton.__version__}"
    if not options.check:
        copy = copy_bandwidth()
        machine += f" · copy {copy / 1e9:.0f} GB/s, read and written"
        tables = [bandwidths(copy), races(), *tables]
    page = f"# GPU benchmark\n\n{machine}\n\nMedians of `triton.testing.do_bench`.\n\n"
    page += "\n".join(table.markdown() for table in tables)
    print(page)
    if options.write:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        options.write.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
