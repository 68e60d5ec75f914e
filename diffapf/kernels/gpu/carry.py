"""The state that each chunk of a linear recursion begins with, from the chunks' affine maps: s ← H s + u, chunk by chunk."""

from __future__ import annotations

import torch
import triton.language as tl
from torch import Tensor

from diffapf.kernels.gpu.launch import kernel, launch, power_of_two


@kernel
def _carry(maps, initial, states, chunks, SIZE: tl.constexpr, PADDED: tl.constexpr, BACKWARD: tl.constexpr):
    """`maps` is (rows, chunks, SIZE, SIZE + 1), u the last column; `states` is (rows, chunks, SIZE)."""
    row = tl.program_id(0).to(tl.int64)
    i, j = tl.arange(0, PADDED), tl.arange(0, PADDED)[None, :]
    state = tl.load(initial + row * SIZE + i, i < SIZE, 0.0)
    for k in tl.range(0, chunks, num_stages=3):
        chunk = row * chunks + (chunks - 1 - k if BACKWARD else k)
        tl.store(states + chunk * SIZE + i, state, i < SIZE)
        here = maps + (chunk * SIZE + i) * (SIZE + 1)
        h = tl.load(here[:, None] + j, (i[:, None] < SIZE) & (j < SIZE), 0.0)
        state = tl.sum(h * state[None, :], 1) + tl.load(here + SIZE, i < SIZE, 0.0)


def carry(maps: Tensor, initial: Tensor, backward: bool) -> Tensor:
    """The states before the chunks (after them, backward in time), in float64."""
    rows, chunks, size, _ = maps.shape
    states = torch.empty(rows, chunks, size, dtype=torch.float64, device=maps.device)
    constants = {"SIZE": size, "PADDED": power_of_two(size), "BACKWARD": backward}
    launch(_carry, rows, maps, maps, initial, states, chunks, num_warps=1, **constants)
    return states
