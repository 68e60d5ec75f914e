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


def launch_everything(full: bool) -> None:
    sizes = Sizes(programs=64)
    layouts = {"audio rate": lambda time: (time, None), "fixed": lambda time: (1, (0.0, 0.0))}
    layouts["hop"] = lambda time: (4, (0.0, 0.01))

    def filters(dtype, rows, time, order, layout):
        frames, timing = layouts[layout](time)
        x, a, zi = (torch.zeros(s, dtype=dtype) for s in ((rows, time), (rows, frames, order), (rows, order)))
        gpu.allpole(x, a, timing, zi, x, sizes)
        gpu.allpole_adjoint(x, a, timing, x, zi, x, a, zi, sizes)
        past = torch.zeros(rows, time + order - 1, dtype=dtype)
        gpu.fir(past, a, timing, x, sizes)
        gpu.fir_transpose(x, a, timing, past, sizes)
        gpu.fir_outer(x, past, timing, a, sizes)

    def loops(dtype, rows, time, stages):
        p, loop, zi = (torch.zeros(s, dtype=dtype) for s in ((rows, time), (rows, 4), (rows, stages + 3)))
        z = torch.zeros(rows, time, stages + 2, dtype=dtype)
        gpu.allpass(z[:, :, :1].contiguous(), p, loop, zi, z, p, sizes)
        gpu.allpass(z, p, loop, zi, z, p, sizes)
        gpu.allpass_transpose(z, p, loop, z, sizes)
        gpu.allpass_adjoint(p, p, loop, z, zi, p, p, loop, zi, sizes)
        row = p[:, 0].contiguous()
        gpu.ballistics(p, row, row, row, p)
        gpu.ballistics_adjoint(p, p, row, row, row, p, p, row, row, row, sizes)
        gpu.comb(p, row, 3, p, sizes)

    filters(torch.float32, 3, 5000, 2, "audio rate")
    filters(torch.float32, 3, 5000, 22, "audio rate")
    loops(torch.float32, 3, 5000, 4)
    if full:
        filters(torch.float32, 3, 5000, 1, "audio rate")
        filters(torch.float32, 3, 5000, 2, "hop")
        filters(torch.float32, 3, 5000, 5, "hop")
        filters(torch.float32, 3, 5000, 2, "fixed")
        filters(torch.float64, 3, 5000, 2, "audio rate")
        filters(torch.float64, 1, 1, 32, "fixed")  # Triton compiles an argument that is 1 as a constant
        loops(torch.float64, 1, 1, 16)


if __name__ == "__main__":
    capability = int(sys.argv[1])
    compiled = compile_instead_of_launching(capability)
    launch_everything(full=capability == 90)
    print(len(set(compiled)), "kernels in", len(compiled), "launches")
