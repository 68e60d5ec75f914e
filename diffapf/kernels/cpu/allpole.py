"""The all-pole filter and its adjoint, by the kernel that suits order and layout; see `reference.py` for the equations."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from diffapf.kernels.cpu.allpole_recursion import (
    allpole_adjoint_by_row,
    allpole_adjoint_of_any_order,
    allpole_by_row,
    allpole_of_any_order,
    allpole_rows_together,
)
from diffapf.kernels.cpu.allpole_segments import adjoint_in_segments, in_segments, segments
from diffapf.kernels.cpu.coefficients import layout
from diffapf.kernels.cpu.first_order import first_order, first_order_adjoint
from diffapf.kernels.cpu.fixed_allpole import fixed_allpole, fixed_allpole_adjoint
from diffapf.kernels.cpu.gradients import sums_like, write_sums
from diffapf.kernels.cpu.high_order import high_order, high_order_adjoint
from diffapf.kernels.cpu.launch import over_rows
from diffapf.kernels.cpu.tuples import LONGEST_TUPLE, size

TAPS_TOGETHER = 6  # up to which four rows' registers are enough
MANY_TAPS = 12  # from which whole vectors of a row of coefficients are worth it


def _in_vectors(x: Tensor, timing, taps: int) -> tuple[Callable, Callable] | None:
    """(the filter, its adjoint) eight samples at once, where there is such a kernel; these take no timing."""
    if x.is_complex() or not 0 < taps <= LONGEST_TUPLE:
        return None
    if timing is not None:
        return (fixed_allpole, fixed_allpole_adjoint) if isinstance(timing, float) else None
    if taps == 1:
        return first_order, first_order_adjoint
    return (high_order, high_order_adjoint) if taps >= MANY_TAPS else None


def allpole(x: Tensor, a: Tensor, timing, zi: Tensor, y: Tensor) -> None:
    timing = layout(a, timing)
    count = segments(x, a, timing)
    if count > 1:
        in_segments(_allpole, count, x, a, timing, zi, y)
    else:
        _allpole(x, a, timing, zi, y)


def _allpole(x: Tensor, a: Tensor, timing, zi: Tensor, y: Tensor) -> None:
    rows, taps = zi.shape
    if kernels := _in_vectors(x, timing, taps):
        kernels[0](x, a, zi, y)
        return
    arguments, work = (x, a, timing, zi, y), x.numel() * taps
    if taps > LONGEST_TUPLE:
        over_rows(allpole_of_any_order, rows, work, arguments, (x.dtype, type(timing)))
        return
    kernel = allpole_rows_together if taps <= TAPS_TOGETHER else allpole_by_row
    over_rows(kernel, rows, work, arguments, (x.dtype, type(timing), taps), (size(taps),))


def allpole_adjoint(g: Tensor, a: Tensor, timing, y: Tensor, zi: Tensor, dx: Tensor, da: Tensor, dzi: Tensor) -> None:
    timing = layout(a, timing)
    count = segments(g, a, timing)
    if count > 1:
        adjoint_in_segments(_allpole_adjoint, count, g, a, timing, y, zi, dx, da, dzi)
    else:
        _allpole_adjoint(g, a, timing, y, zi, dx, da, dzi)


def _allpole_adjoint(g: Tensor, a: Tensor, timing, y: Tensor, zi: Tensor, dx: Tensor, da: Tensor, dzi: Tensor) -> None:
    rows, taps = zi.shape
    if kernels := _in_vectors(g, timing, taps):
        kernels[1](g, a, y, zi, dx, da, dzi)
        return
    sums = sums_like(da, timing)
    arguments, work = (g, a, timing, y, zi, dx, sums, dzi), 2 * g.numel() * taps
    if taps > LONGEST_TUPLE:
        over_rows(allpole_adjoint_of_any_order, rows, work, arguments, (g.dtype, type(timing), sums is None))
    else:
        key = (g.dtype, type(timing), taps, sums is None)
        over_rows(allpole_adjoint_by_row, rows, work, arguments, key, (size(taps),))
    write_sums(sums, da)
