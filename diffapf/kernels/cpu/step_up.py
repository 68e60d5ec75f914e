"""The step-up recursion of many small filters, and its adjoint; see `reference.py` for the equations."""

from __future__ import annotations

from torch import Tensor

from diffapf.kernels.cpu.launch import jit, over_rows, rounded_step

FILTERS_AT_ONCE = 64  # that share a scratch, which the adjoint keeps the filters of all orders in


@rounded_step  # fused, where all |k| are next to 1, poles end outside the circle
def _add_reversed(k, row, length):
    """row[i] + k row[length−1−i], both of a pair at once."""
    for i in range((length + 1) // 2):
        left, right = row[i], row[length - 1 - i]
        row[i] = left + k * right
        row[length - 1 - i] = right + k * left


@jit
def _step_up(first, last, k, a):
    for b in range(first, last):
        row = a[b]
        row[0] = 1
        for m in range(k.shape[1]):
            row[m + 1] = 0
            _add_reversed(k[b, m], row, m + 2)


def step_up(k: Tensor, a: Tensor) -> None:
    over_rows(_step_up, k.shape[0], k.numel() * a.shape[1], (k, a), (k.dtype,))


@jit
def _step_up_adjoint(first, last, g, k, scratch, dk):
    order = k.shape[1]
    for unit in range(first, last):
        shorter, gradient = scratch[unit], scratch[unit, order]
        shorter[0, 0] = 1
        for b in range(unit * FILTERS_AT_ONCE, min((unit + 1) * FILTERS_AT_ONCE, k.shape[0])):
            for m in range(1, order):
                shorter[m, 0] = shorter[m - 1, 0]
                for i in range(1, m):
                    shorter[m, i] = shorter[m - 1, i] + k[b, m - 1] * shorter[m - 1, m - i]
                shorter[m, m] = k[b, m - 1]
            for i in range(order + 1):
                gradient[i] = g[b, i]
            for m in range(order - 1, -1, -1):
                total = gradient[m + 1] * shorter[m, 0]
                for i in range(1, m + 1):
                    total += gradient[i] * shorter[m, m + 1 - i]
                dk[b, m] = total
                _add_reversed(k[b, m], gradient, m + 2)


def step_up_adjoint(g: Tensor, k: Tensor, dk: Tensor) -> None:
    units, order = -(-k.shape[0] // FILTERS_AT_ONCE), k.shape[1]
    scratch = k.new_empty(units, order + 1, order + 1)
    over_rows(_step_up_adjoint, units, 2 * k.numel() * g.shape[1], (g, k, scratch, dk), (k.dtype,))
