"""The recurrences of `reference.py` in Triton: same names, same arguments, contiguous tensors on one GPU.

Coefficients may have fewer rows than the signal, if they divide it: signal row r reads coefficient row r mod a_rows.
Diagonal state space, v[n+1] = a[n] v[n] + u[n] for each state, is `allpole` of order 1 with the states as rows.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from diffapf.kernels.gpu.allpass import allpass, allpass_adjoint, allpass_transpose
from diffapf.kernels.gpu.allpole import allpole, allpole_adjoint
from diffapf.kernels.gpu.ballistics import ballistics, ballistics_adjoint
from diffapf.kernels.gpu.comb import comb
from diffapf.kernels.gpu.fir import fir, fir_outer, fir_transpose
from diffapf.kernels.reference import of_output

allpass_output, allpass_output_adjoint = of_output(allpass, allpass_adjoint)

__all__ = [
    "allpass",
    "allpass_adjoint",
    "allpass_output",
    "allpass_output_adjoint",
    "allpass_transpose",
    "allpole",
    "allpole_adjoint",
    "ballistics",
    "ballistics_adjoint",
    "comb",
    "fir",
    "fir_outer",
    "fir_transpose",
]

ORDERS = 32  # of an all-pole filter
STAGES = 16  # of all-passes

LIMITS: dict[str, Callable[..., bool]] = {
    "allpole": lambda x, a, *_: a.shape[2] <= ORDERS,
    "allpole_adjoint": lambda g, a, *_: a.shape[2] <= ORDERS,
    "allpass": lambda s, p, loop, zi: zi.shape[1] - 3 <= STAGES,
    "allpass_transpose": lambda g, *_: g.shape[2] - 2 <= STAGES,
    "allpass_adjoint": lambda g, p, loop, z, zi: z.shape[2] - 2 <= STAGES,
    "allpass_output": lambda x, p, loop, through, zi: zi.shape[1] - 3 <= STAGES,
    "allpass_output_adjoint": lambda g, x, p, loop, through, zi, *_: zi.shape[1] - 3 <= STAGES,
}


def applies(name: str, inputs: list) -> bool:
    """Whether there is a kernel of this name for these dtypes, order and number of stages."""
    real = all(x.dtype in (torch.float32, torch.float64) for x in inputs if isinstance(x, Tensor))
    return name in __all__ and real and (name not in LIMITS or LIMITS[name](*inputs))
