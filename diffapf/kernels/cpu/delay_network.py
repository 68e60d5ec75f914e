"""A network of delay lines with a filter on each, and its response at each frequency; see `reference.py` for the equations.

Sample by sample a tap costs a multiply-add: right for short filters and for blocks of a stream. Many samples of long filters
are for FFTs (`batched.py`).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diffapf.kernels import batched
from diffapf.kernels.cpu.launch import jit, jit_sum, over_rows, step

WORTH_FFTS = 4096  # samples, and taps of all lines together


@jit_sum
def _sum_of_taps(f, row, i, first, last, q, zi, r, n):
    """Σₗ f[l] q[n−1−l], first ≤ l < last; the past is in zi."""
    total = q.dtype.type(0)
    for at in range(max(n - last, 0), n - first):
        total += f[row, np.uintp(i), np.uintp(n - 1 - at)] * q[r, np.uintp(i), np.uintp(at)]
    for k in range(max(first, n), last):
        total += f[row, np.uintp(i), np.uintp(k)] * zi[r, np.uintp(i), np.uintp(k - n)]
    return total


@jit
def _delay_network(first, last, x, U, f, zi, ends, q, w):
    lines = x.shape[1]
    for r in range(first, last):
        of_f, of_U = r % f.shape[0], r % U.shape[0]
        for i in range(lines):
            begin, end = 0, f.shape[2]
            while begin < end and f[of_f, i, begin] == 0:
                begin += 1
            while end > begin and f[of_f, i, end - 1] == 0:
                end -= 1
            ends[r, i, 0], ends[r, i, 1] = begin, end
        for n in range(x.shape[2]):
            for i in range(lines):
                w[r, i, n] = _sum_of_taps(f, of_f, i, int(ends[r, i, 0]), int(ends[r, i, 1]), q, zi, r, n)
            for i in range(lines):
                total = x[r, i, n]
                for j in range(lines):
                    total += U[of_U, i, j] * w[r, j, n]
                q[r, i, n] = total


def delay_network(x: Tensor, U: Tensor, f: Tensor, zi: Tensor, q: Tensor, w: Tensor) -> None:
    rows, lines, time = x.shape
    if time >= WORTH_FFTS and int(f[:1].count_nonzero()) >= WORTH_FFTS:
        batched.delay_network(x, U, f, zi, q, w)
        return
    ends = x.new_empty(rows, lines, 2).double()
    work = x.numel() * (f.shape[2] + lines)
    over_rows(_delay_network, rows, work, (x, U, f, zi, ends, q, w), (x.dtype,))


TOGETHER = 32  # frequencies, in vector instructions
CHUNK = 4096  # frequencies that a thread takes at once


@step
def _subtract(re, im, i, k, first, last, count):
    """Row k from row i, times what stands at [i, k], in columns first … last − 1."""
    for c in range(first, last):
        for t in range(count):
            re[i, c, t] -= re[i, k, t] * re[k, c, t] - im[i, k, t] * im[k, c, t]
            im[i, c, t] -= re[i, k, t] * im[k, c, t] + im[i, k, t] * re[k, c, t]


@jit
def _network_response(first, last, v, U, F, scratch, q):
    """Elimination without pivots, which needs none where all |F| < 1 and U is orthogonal.

    Complex numbers are pairs in the last dimension of v, F and q, planes in the scratch; the v of all rows that share a loop
    are its last columns.
    """
    rows, lines, frequencies = v.shape[0], v.shape[1], v.shape[2]
    shared = max(U.shape[0], F.shape[0])
    columns = lines + rows // shared
    for part in range(first, last):
        source, re, im = part % shared, scratch[part, 0], scratch[part, 1]
        of_U, of_F = source % U.shape[0], source % F.shape[0]
        begin = part // shared * CHUNK
        for start in range(begin, min(begin + CHUNK, frequencies), TOGETHER):
            count = min(TOGETHER, frequencies - start)
            for i in range(lines):
                for j in range(lines):
                    one, gain = (1.0 if i == j else 0.0), U[of_U, i, j]
                    for t in range(count):
                        re[i, j, t] = one - gain * F[of_F, j, start + t, 0]
                        im[i, j, t] = -gain * F[of_F, j, start + t, 1]
                for c in range(lines, columns):
                    r = source + (c - lines) * shared
                    for t in range(count):
                        re[i, c, t], im[i, c, t] = v[r, i, start + t, 0], v[r, i, start + t, 1]
            for k in range(lines):
                for t in range(count):
                    over = 1.0 / (re[k, k, t] ** 2 + im[k, k, t] ** 2)
                    re[k, k, t], im[k, k, t] = re[k, k, t] * over, -im[k, k, t] * over
                for c in range(k + 1, columns):
                    for t in range(count):
                        real, imaginary = re[k, c, t], im[k, c, t]
                        re[k, c, t] = real * re[k, k, t] - imaginary * im[k, k, t]
                        im[k, c, t] = real * im[k, k, t] + imaginary * re[k, k, t]
                for i in range(k + 1, lines):
                    _subtract(re, im, i, k, k + 1, columns, count)
            for k in range(lines - 1, 0, -1):
                for i in range(k):
                    _subtract(re, im, i, k, lines, columns, count)
            for i in range(lines):
                for c in range(lines, columns):
                    r = source + (c - lines) * shared
                    for t in range(count):
                        q[r, i, start + t, 0], q[r, i, start + t, 1] = re[i, c, t], im[i, c, t]


def network_response(v: Tensor, U: Tensor, F: Tensor, q: Tensor) -> None:
    rows, lines, frequencies = v.shape
    shared = max(U.shape[0], F.shape[0], 1)
    parts, columns = shared * -(-frequencies // CHUNK), lines + rows // shared
    scratch = v.new_empty(parts, 2, lines, columns, TOGETHER, dtype=U.dtype)
    v, F, q = (torch.view_as_real(each) for each in (v, F, q))
    over_rows(_network_response, parts, v.numel() * lines * lines, (v, U, F, scratch, q), (U.dtype,))
