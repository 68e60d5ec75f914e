"""The all-pole filter of eight taps or more with a row of coefficients a sample, eight samples at once, and its adjoint.

What eight outputs take from the outputs before them are products of vectors, without recursion:
Σ aᵢ[n+k] y[n+k−i] over i > k is a dot product of row n+k, from its tap k on, and the same past for all k. What is left, of
each other's, is a recursion of 28 products. The adjoint scatters: Σ aᵢ[n+i] dx[n+i] is collected of eight rows for all the
samples before them; so each row is read once, in order, and nothing is shifted. Float64 inside.

A row of the signal is filtered a block after another. Where a result is not finite, the recursion itself computes the block
again: 0·∞ spoils neighbours.
"""

from __future__ import annotations

from collections.abc import Callable

from numba.extending import overload
from torch import Tensor

from diffapf.kernels.cpu.coefficients import BLOCK, rows_of
from diffapf.kernels.cpu.launch import INLINED, jit, over_rows, step
from diffapf.kernels.cpu.tuples import defined, size, unrolled
from diffapf.kernels.cpu.vectors import (
    LANES,
    all_finite,
    filled,
    in_line,
    lane,
    load,
    load_first,
    packed,
    prefetch,
    spread,
    store,
    store_first,
    totals,
    turned,
)

CACHE_LINE = 64  # bytes
AHEAD = 8192  # bytes


def _parts(taps: int) -> list[tuple[int, int]]:
    """Where each vector of so many taps begins, and how many elements of it are taps."""
    return [(begin, min(LANES, taps - begin)) for begin in range(0, taps, LANES)]


def past(y, before, n, count):
    """The outputs before sample n that the filter reads, newest first, as vectors; `before` are those before the first."""


@overload(past)
def _past(y, before, n, count):
    stored = (f"turned(load(y, n - {begin + LANES}))" for begin, _ in _parts(len(count)))
    given = (
        f"packed(({', '.join(f'np.float64(before[{begin + i}])' if i < inside else '0.0' for i in range(LANES))}))"
        for begin, inside in _parts(len(count))
    )
    first, later = ("(" + "".join(f"{vector}, " for vector in vectors) + ")" for vectors in (given, stored))
    return defined(
        "y, before, n, count", (), f"{first} if n == 0 else {later}", load=load, turned=turned, packed=packed
    )


def of_the_past(a, n, past, count):
    """What the past contributes to samples n to n+7, as a vector: for sample n+k, from tap k on."""


@overload(of_the_past, jit_options=INLINED)
def _of_the_past(a, n, past, count):
    dots = []
    for k in range(LANES):
        products = (
            f"load_first(a, (n + {k}) * {len(count)} + {k + begin}, {inside}) * past[{part}]"
            for part, (begin, inside) in enumerate(_parts(len(count) - k))
        )
        dots.append(" + ".join(products))
    names = {"load_first": load_first, "totals": totals}
    return defined("a, n, past, count", (), f"totals(({', '.join(dots)}))", **names)


def of_each_other(known, a, n, count):
    """The outputs n to n+7, of which `known` is all but what they take from each other: y[k] −= aᵢ[n+k] y[k−i]."""


@overload(of_each_other, jit_options=INLINED)
def _of_each_other(known, a, n, count):
    return _in_turn(len(count), lambda later, earlier: f"n + {later}")


def _in_turn(order: int, row: Callable[[int, int], str]) -> Callable:
    """`(known, a, n, count)` → eight numbers as a vector, each `known` less what it takes from those before it.

    `row(later, earlier)` is the row of coefficients that the later one takes the earlier one by.
    """
    lines = []
    for k in range(LANES):
        terms = (f" - a[np.uintp(({row(k, j)}) * {order} + {k - j - 1})] * s{j}" for j in range(k))
        lines.append(f"s{k} = lane(known, {k}){''.join(terms)}")
    result = f"packed(({', '.join(f's{k}' for k in range(LANES))}))"
    return defined("known, a, n, count", lines, result, lane=lane, packed=packed)


def ask_for_eight(a, n, count):
    """Asks memory for eight rows of coefficients from row n on. Its own foresight ends where a page does, each 4 kB."""


@overload(ask_for_eight, jit_options=INLINED)
def _ask_for_eight(a, n, count):
    lines = range(0, LANES * len(count), CACHE_LINE * 8 // a.dtype.bitwidth)
    statements = [f"prefetch(a, n * {len(count)} + {k})" for k in lines]
    return defined("a, n, count", statements, "None", prefetch=prefetch)


def rows_ahead(a, count):
    """How many rows of coefficients are on their way from memory."""


@overload(rows_ahead, jit_options=INLINED)
def _rows_ahead(a, count):
    rows = AHEAD * 8 // a.dtype.bitwidth // len(count)
    return lambda a, count: rows


@step
def next_eight(x, a, y, n, recent, count):
    """Computes outputs n to n+7 of a row, whose coefficients stand one row after another: these, and the past with them."""
    ask_for_eight(a, n + rows_ahead(a, count), count)
    new = of_each_other(load(x, n) - of_the_past(a, n, recent, count), a, n, count)
    store(y, n, new)
    return new, (turned(new),) + recent[:-1]  # noqa: RUF005


@jit
def one_by_one(x, a, before, y, first, last, count):
    """The recursion itself, for what is no whole vector and for what is not finite."""
    taps = len(count)
    for n in range(first, last):
        total = x[n]
        for k in range(taps - 1, -1, -1):
            total -= a[n * taps + k] * (y[n - 1 - k] if k < n else before[k - n])
        y[n] = total


@step
def _block(x, a, before, y, begin, end, count):
    n, check, recent = begin, filled(0.0), past(y, before, begin, count)
    while n + LANES <= end:
        new, recent = next_eight(x, a, y, n, recent, count)
        check, n = check + new * filled(0.0), n + LANES
    one_by_one(x, a, before, y, n if all_finite(check) else begin, end, count)


@step
def _two_blocks(x, a, before, y, begin, end, count):
    """The same of two rows together, each of which fills the time that the other waits: pairs of all but the span."""
    recent, other_recent = past(y[0], before[0], begin, count), past(y[1], before[1], begin, count)
    n, check, other_check = begin, filled(0.0), filled(0.0)
    while n + LANES <= end:
        new, recent = next_eight(x[0], a[0], y[0], n, recent, count)
        other, other_recent = next_eight(x[1], a[1], y[1], n, other_recent, count)
        check, other_check, n = check + new * filled(0.0), other_check + other * filled(0.0), n + LANES
    one_by_one(x[0], a[0], before[0], y[0], n if all_finite(check) else begin, end, count)
    one_by_one(x[1], a[1], before[1], y[1], n if all_finite(other_check) else begin, end, count)


@jit
def _high_order(first, last, x, a, zi, y, count):
    time = x.shape[1]
    for b in range(first, last - 1, 2):
        filters = rows_of(a, b), rows_of(a, b + 1)
        for n in range(0, time, BLOCK):
            end = min(n + BLOCK, time)
            _two_blocks((x[b], x[b + 1]), filters, (zi[b], zi[b + 1]), (y[b], y[b + 1]), n, end, count)
    if (last - first) % 2:
        b = last - 1
        for n in range(0, time, BLOCK):
            _block(x[b], rows_of(a, b), zi[b], y[b], n, min(n + BLOCK, time), count)


def high_order(x: Tensor, a: Tensor, zi: Tensor, y: Tensor) -> None:
    rows, taps = zi.shape
    over_rows(_high_order, rows, x.numel() * taps, (x, a, zi, y), (x.dtype, taps), (size(taps),))


# ------------------------------------------------------------------------------------------------------------- adjoint


@step
def _pending(a, dx, n, k, taps):
    """What the samples from n on contribute to sample n−1−k: −Σ aᵢ[m] dx[m] over m ≥ n."""
    total = a.dtype.type(0)
    for m in range(n, min(n - k + taps, dx.shape[0])):
        total -= a[m * taps + (m - (n - k))] * dx[m]
    return total


def all_pending(a, dx, n, count):
    """`_pending` of all samples before n that the filter reaches, as vectors."""


@overload(all_pending)
def _all_pending(a, dx, n, count):
    vectors = (
        "packed(("
        + ", ".join(
            f"np.float64(_pending(a, dx, n, {begin + i}, {len(count)}))" if i < inside else "0.0" for i in range(LANES)
        )
        + "))"
        for begin, inside in _parts(len(count))
    )
    return unrolled("a, dx, n, count", vectors, packed=packed, _pending=_pending)


def eight_before(known, a, n, count):
    """dx of samples n−1 to n−8, of which `known` is all but what they take from each other."""


@overload(eight_before, jit_options=INLINED)
def _eight_before(known, a, n, count):
    return _in_turn(len(count), lambda _, source: f"n - {source + 1}")


def pending_after(pending, new, a, n, count):
    """What is pending of the samples before n−8: what was, and what `new`, dx of samples n−1 to n−8, adds."""


@overload(pending_after, jit_options=INLINED)
def _pending_after(pending, new, a, n, count):
    order = len(count)
    sums = [f"pending[{part}]" for part in range(1, len(_parts(order)))] + ["filled(0.0)"]
    for j in range(LANES):
        for part, (begin, inside) in enumerate(_parts(order - (LANES - 1 - j))):
            sums[part] += (
                f" - load_first(a, (n - {j + 1}) * {order} + {LANES - 1 - j + begin}, {inside}) * spread(new, {j})"
            )
    names = {"filled": filled, "load_first": load_first, "spread": spread}
    return unrolled("pending, new, a, n, count", sums, **names)


def write_rows(da, dx, y, begin, end, count):
    """da's rows: −dx[n]·(y[n−1], y[n−2], …), where all of these are in the signal."""


@overload(write_rows)
def _write_rows(da, dx, y, begin, end, count):
    order = len(count)
    lines = ["for n in range(begin, end):", "    factor = filled(-np.float64(dx[np.uintp(n)]))"]
    for part, inside in _parts(order):
        recent = f"turned(load(y, n - {part + LANES}))"
        lines.append(f"    store_first(da, n * {order} + {part}, factor * {recent}, {inside})")
    names = {"filled": filled, "turned": turned, "load": load, "store_first": store_first}
    return defined("da, dx, y, begin, end, count", lines, "None", **names)


@step
def last_eight(g, a, dx, n, pending, count):
    """Computes dx of samples n−1 to n−8 of a row: these, and what is pending of the samples before."""
    ask_for_eight(a, n - LANES - rows_ahead(a, count), count)
    new = eight_before(turned(load(g, n - LANES)) + pending[0], a, n, count)
    store(dx, n - LANES, turned(new))
    return new, pending_after(pending, new, a, n, count)


@jit
def one_by_one_backward(g, a, dx, last, begin, count):
    for n in range(last, begin, -1):
        dx[n - 1] = g[n - 1] + _pending(a, dx, n, 0, len(count))


@step
def _block_backward(g, a, dx, begin, end, count):
    """Samples end−1 to begin of a row, in this order."""
    n, check, pending = end, filled(0.0), all_pending(a, dx, end, count)
    while n - LANES >= begin:
        new, pending = last_eight(g, a, dx, n, pending, count)
        check, n = check + new * filled(0.0), n - LANES
    one_by_one_backward(g, a, dx, n if all_finite(check) else end, begin, count)


@step
def _two_blocks_backward(g, a, dx, begin, end, count):
    n, check, other_check = end, filled(0.0), filled(0.0)
    pending, other_pending = all_pending(a[0], dx[0], end, count), all_pending(a[1], dx[1], end, count)
    while n - LANES >= begin:
        new, pending = last_eight(g[0], a[0], dx[0], n, pending, count)
        other, other_pending = last_eight(g[1], a[1], dx[1], n, other_pending, count)
        check, other_check, n = check + new * filled(0.0), other_check + other * filled(0.0), n - LANES
    one_by_one_backward(g[0], a[0], dx[0], n if all_finite(check) else end, begin, count)
    one_by_one_backward(g[1], a[1], dx[1], n if all_finite(other_check) else end, begin, count)


@jit
def _rows_of_gradient(da, dx, y, zi, b, begin, end, count):
    """Samples begin to end of da[b], where it is wanted."""
    if da.shape[1] == 0:
        return
    taps = len(count)
    whole = -(-taps // LANES) * LANES  # samples after the first of which whole vectors of the past are there
    write_rows(in_line(da[b]), dx[b], y[b], max(begin, whole), end, count)
    for n in range(begin, min(whole, end)):
        for i in range(taps):
            da[b, n, i] = -dx[b, n] * (y[b, n - 1 - i] if i < n else zi[b, i - n])


@jit
def _high_order_adjoint(first, last, g, a, y, zi, dx, da, dzi, count):
    time, two = g.shape[1], (last - first) // 2 * 2
    for b in range(first, first + two, 2):
        filters, end = (rows_of(a, b), rows_of(a, b + 1)), time
        while end > 0:
            begin = (end - 1) // BLOCK * BLOCK
            _two_blocks_backward((g[b], g[b + 1]), filters, (dx[b], dx[b + 1]), begin, end, count)
            _rows_of_gradient(da, dx, y, zi, b, begin, end, count)
            _rows_of_gradient(da, dx, y, zi, b + 1, begin, end, count)
            end = begin
    if first + two < last:
        b, end = last - 1, time
        while end > 0:
            begin = (end - 1) // BLOCK * BLOCK
            _block_backward(g[b], rows_of(a, b), dx[b], begin, end, count)
            _rows_of_gradient(da, dx, y, zi, b, begin, end, count)
            end = begin
    for b in range(first, last):
        for k in range(len(count)):
            dzi[b, k] = _pending(rows_of(a, b), dx[b], 0, k, len(count))


def high_order_adjoint(g: Tensor, a: Tensor, y: Tensor, zi: Tensor, dx: Tensor, da: Tensor, dzi: Tensor) -> None:
    rows, taps = zi.shape
    arguments, work = (g, a, y, zi, dx, da, dzi), 2 * g.numel() * taps
    over_rows(_high_order_adjoint, rows, work, arguments, (g.dtype, taps), (size(taps),))
