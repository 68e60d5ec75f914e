"""Compiles every kernel of gpu/ for a CUDA device of the capability given, without one: launches become warm-ups.

Prints how many were compiled. Run without TRITON_INTERPRET.
"""

import sys
from types import SimpleNamespace

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from diffapf.kernels import gpu
from diffapf.kernels.gpu.launch import Sizes


def compile_instead_of_launching(capability: int) -> list[str]:
    target = GPUTarget("cuda", capability, 32)
    triton.runtime.driver.set_active(
        SimpleNamespace(
            get_current_device=lambda: 0, get_current_stream=lambda device: 0, get_current_target=lambda: target
        )
    )
    compiled, run = [], JITFunction.run

    def warm_up(self, *arguments, grid, warmup, **options):
        kernel = run(self, *arguments, grid=grid, warmup=True, **options)
        if not kernel.asm["cubin"]:
            raise SystemExit(f"{self.__name__} was not compiled")
        compiled.append(f"{self.fn.__module__}.{self.__name__}")

    JITFunction.run = warm_up
    return compiled


SIZES = Sizes(programs=64)
LAYOUTS = {
    "audio rate": lambda time: (time, None),
    "fixed": lambda time: (1, (0.0, 0.0)),
    "hop": lambda time: (4, (0.0, 0.01)),
}


def all_pole(dtype: torch.dtype, order: int, layout: str, rows: int = 3, time: int = 5000) -> None:
    frames, timing = LAYOUTS[layout](time)
    x, a, zi = (torch.zeros(shape, dtype=dtype) for shape in ((rows, time), (rows, frames, order), (rows, order)))
    gpu.allpole(x, a, timing, zi, x, SIZES)
    gpu.allpole_adjoint(x, a, timing, x, zi, x, a, zi, SIZES)


def fir(dtype: torch.dtype, taps: int, layout: str, rows: int = 3, time: int = 5000) -> None:
    frames, timing = LAYOUTS[layout](time)
    x, b, past = (
        torch.zeros(shape, dtype=dtype) for shape in ((rows, time), (rows, frames, taps), (rows, time + taps - 1))
    )
    gpu.fir(past, b, timing, x, SIZES)
    gpu.fir_transpose(x, b, timing, past, SIZES)
    gpu.fir_outer(x, past, timing, b, SIZES)


def loops(dtype: torch.dtype, stages: int, rows: int = 3, time: int = 5000) -> None:
    p, loop, zi = (torch.zeros(shape, dtype=dtype) for shape in ((rows, time), (rows, 4), (rows, stages + 3)))
    z, row = torch.zeros(rows, time, stages + 2, dtype=dtype), p[:, 0].contiguous()
    gpu.allpass(z[:, :, :1].contiguous(), p, loop, zi, z, p, SIZES)
    gpu.allpass(z, p, loop, zi, z, p, SIZES)
    gpu.allpass_transpose(z, p, loop, z, SIZES)
    gpu.allpass_adjoint(p, p, loop, z, zi, p, p, loop, zi, SIZES)
    gpu.ballistics(p, row, row, row, p)
    gpu.ballistics_adjoint(p, p, row, row, row, p, p, row, row, row, SIZES)
    gpu.comb(p, row, 3, p, SIZES)


def launch_every_kernel() -> None:
    all_pole(torch.float32, 1, "audio rate")
    all_pole(torch.float32, 22, "audio rate")
    for layout in LAYOUTS:
        fir(torch.float32, 5, layout)
    loops(torch.float32, 4)


def launch_every_layout() -> None:
    for layout in LAYOUTS:
        all_pole(torch.float32, 2, layout)
    all_pole(torch.float32, 5, "hop")
    all_pole(torch.float64, 2, "audio rate")
    all_pole(torch.float64, 32, "fixed", rows=1, time=1)  # Triton compiles an argument that is 1 as a constant


if __name__ == "__main__":
    capability = int(sys.argv[1])
    compiled = compile_instead_of_launching(capability)
    launch_every_kernel()
    if capability >= 90:
        launch_every_layout()
    print(len(set(compiled)), "kernels in", len(compiled), "launches")
