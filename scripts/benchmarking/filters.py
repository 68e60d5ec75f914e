"""The filters' cases: the grid of all-pole filters, biquads, control rate, ballistics, and calls with next to no samples."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from diffapf import ControlRate, allpole, ballistics, lfilter, sosfilt
from scripts.benchmarking.cell import Call, Case, Cell, Contest
from scripts.benchmarking.peers import Peers

ORDERS, BATCHES, LENGTHS = (1, 2, 4, 22), (1, 8, 64), (4_096, 48_000, 480_000)
DTYPES = (torch.float32, torch.float64)
LARGEST = 1.5e9  # bytes of a: peers need several times as much
HOP = 240
SECTIONS = 6


def filter_cases(quick: bool) -> list[Case]:
    return [
        *grid(quick),
        *fixed_filters(quick),
        *biquads(quick),
        *cascades(quick),
        *control_rate(quick),
        *smoothing(quick),
        *tiny(),
    ]


# ----------------------------------------------------------------------------------------------------------- all-pole


def grid(quick: bool) -> Iterator[Case]:
    batches, lengths, dtypes = ((1, 8), (48_000,), DTYPES[:1]) if quick else (BATCHES, LENGTHS, DTYPES)
    for kind, order, batch, length, dtype in itertools.product(("LPV", "LTI"), ORDERS, batches, lengths, dtypes):
        moving = kind == "LPV"
        gigabytes = batch * length * order * dtype.itemsize / 1e9
        skipped = f"a alone takes {gigabytes:.1f} GB" if moving and gigabytes * 1e9 > LARGEST else ""
        forward, backward = (order + 2, 2 * order + 3) if moving else (2, 3)  # x, a → y; g, a, y → dx, da
        for both in (False, True):
            cell = Cell(order, batch, length, dtype, both)
            words = forward + backward * both
            contest = moving_contest if moving else fixed_contest
            chains = (1 + both) if moving and order > 1 else 0  # the others need not wait at every sample
            yield Case(f"{kind} all-pole, {cell.direction}", str(cell), cell, contest, words, chains, skipped)


def moving_contest(cell: Cell, peers: Peers) -> Contest:
    tensors = signals(cell.order, cell.batch, cell.length, cell.dtype, True)
    return contest(allpole, peers.moving_allpole(cell.order), *tensors, cell.backward)


def fixed_contest(cell: Cell, peers: Peers) -> Contest:
    tensors = signals(cell.order, cell.batch, cell.length, cell.dtype, False)
    calls = peers.fixed_allpole(cell.order, cell.backward)
    gigabytes = cell.samples * cell.order * cell.dtype.itemsize / 1e9
    left_out = [peer for peer in calls if gigabytes * 1e9 > LARGEST and needs_all_states(peer, cell)]
    calls = {peer: call for peer, call in calls.items() if peer not in left_out}
    notes = tuple(f"{peer} needs more than {gigabytes:.1f} GB; not timed" for peer in left_out)
    return replace(contest(allpole, calls, *tensors, cell.backward), notes=notes)


def needs_all_states(peer: str, cell: Cell) -> bool:
    """Whether the peer keeps M numbers for each sample of a fixed filter."""
    return peer == "philtorch" or (peer == "torchlpc" and cell.backward)


@functools.lru_cache(maxsize=1)  # forward and training follow each other
def signals(order: int, batch: int, length: int, dtype: torch.dtype, moving: bool) -> tuple[Tensor, Tensor, Tensor]:
    """x, coefficients of a filter that is stable whatever happens (Σ|aᵢ| < 1/2), and a gradient of y."""
    generator = torch.Generator().manual_seed(order)
    x = torch.randn(batch, length, dtype=dtype, generator=generator)
    a = torch.rand(*((batch, length) if moving else ()), order, dtype=dtype, generator=generator)
    g = torch.randn(batch, length, dtype=dtype, generator=generator)
    return x, a.sub_(0.5).div_(order), g


def contest(
    ours: Callable, peers: dict[str, Callable], x: Tensor, a: Tensor, g: Tensor, backward: bool, **options
) -> Contest:
    call = functools.partial(timed, inputs=(x, a), g=g, backward=backward)
    return Contest(call(functools.partial(ours, **options)), {peer: call(function) for peer, function in peers.items()})


def timed(function: Callable[..., Tensor], inputs: tuple[Tensor, ...], g: Tensor, backward: bool) -> Call:
    return training(function, inputs, g) if backward else forward(function, inputs)


def forward(function: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> Call:
    return lambda: (function(*inputs),)


def training(function: Callable[..., Tensor], inputs: tuple[Tensor, ...], g: Tensor) -> Call:
    """The output, and the gradients of all inputs."""
    inputs = tuple(value.detach().requires_grad_() for value in inputs)

    def call() -> tuple[Tensor, ...]:
        y = function(*inputs)
        return y.detach(), *torch.autograd.grad(y, inputs, g)

    return call


# ------------------------------------------------------------------------------------------------------------- others


def fixed_filters(quick: bool) -> Iterator[Case]:
    for order, batch, dtype in itertools.product((2, 4, 8), (1, 8), DTYPES):
        if quick and (order, batch, dtype) != (2, 8, torch.float32):
            continue
        for both in (False, True):
            cell = Cell(order, batch, 48_000, dtype, both)
            words = 2 + 4 * both  # x → y; g, x, y → dx
            yield Case(f"LTI lfilter, {cell.direction}", str(cell), cell, fixed_filter_contest, words)


def fixed_filter_contest(cell: Cell, peers: Peers) -> Contest:
    x, a, g = signals(cell.order, cell.batch, cell.length, cell.dtype, False)
    b = torch.randn(cell.order + 1, dtype=cell.dtype, generator=torch.Generator().manual_seed(0))

    def ours(b: Tensor, a: Tensor, x: Tensor) -> Tensor:
        return lfilter(b, pad(a, (1, 0), value=1.0), x)

    call = functools.partial(timed, inputs=(b, a, x), g=g, backward=cell.backward)
    return Contest(call(ours), {peer: call(function) for peer, function in peers.fixed_filter(cell.backward).items()})


def biquads(quick: bool) -> Iterator[Case]:
    for form, batch, dtype in itertools.product(("df2", "tdf2"), (1, 8), DTYPES):
        if quick and (batch, dtype) != (8, torch.float32):
            continue
        for both in (False, True):
            cell = Cell(2, batch, 48_000, dtype, both)
            words = 7 + 14 * both  # x, b, a → y; g, b, a, x, and w or y → dx, db, da
            build = functools.partial(biquad_contest, form)
            yield Case(f"LPV biquad, {cell.direction}", f"{form}, {cell}", cell, build, words, 1 + both)


def biquad_contest(form: str, cell: Cell, peers: Peers) -> Contest:
    x, a, g = signals(2, cell.batch, cell.length, cell.dtype, True)
    b = torch.randn(cell.batch, cell.length, 3, dtype=cell.dtype, generator=torch.Generator().manual_seed(0))

    # Ours takes a's leading 1, and its gradient comes with it: the others' gradients are compared with what is left.
    with_leading = pad(a, (1, 0), value=1.0)
    ours = timed(functools.partial(lfilter, form=form), (b, with_leading, x), g, cell.backward)

    def without_leading() -> tuple[Tensor, ...]:
        results = ours()
        return (*results[:2], results[2][..., 1:], *results[3:]) if cell.backward else results

    call = functools.partial(timed, inputs=(b, a, x), g=g, backward=cell.backward)
    return Contest(ours, {peer: call(function) for peer, function in peers.biquad(form).items()}, without_leading)


def cascades(quick: bool) -> Iterator[Case]:
    for batch, dtype in itertools.product((1, 8), DTYPES):
        if quick and (batch, dtype) != (8, torch.float32):
            continue
        for both in (False, True):
            cell = Cell(2, batch, 48_000, dtype, both)
            words = (1 + 7 * SECTIONS) + (2 + 13 * SECTIONS) * both  # x, sos → signals; g, sos, signals → dx, dsos
            label = f"{SECTIONS} sections, {cell}"
            yield Case(f"LPV cascade, {cell.direction}", label, cell, cascade_contest, words)


def cascade_contest(cell: Cell, peers: Peers) -> Contest:
    """Ours takes each a₀, and its gradient comes with it, which the others don't have."""
    x, _, g = signals(2, cell.batch, cell.length, cell.dtype, False)
    generator, shape = torch.Generator().manual_seed(0), (cell.batch, cell.length, SECTIONS)
    b, a = (torch.rand(*shape, taps, dtype=cell.dtype, generator=generator) - 0.5 for taps in (3, 2))
    sos = torch.cat([b, torch.ones(*shape, 1, dtype=cell.dtype), a / 2], -1)
    ours = timed(sosfilt, (sos, x), g, cell.backward)

    def without_leading() -> tuple[Tensor, ...]:
        y, *gradients = ours()
        for of_sos in gradients[:1]:
            of_sos[..., 3] = 0.0
        return y, *gradients

    call = functools.partial(timed, inputs=(sos, x), g=g, backward=cell.backward)
    rivals = {peer: call(one_after_another(biquad)) for peer, biquad in peers.biquad("tdf2").items()}
    return Contest(ours, rivals, without_leading)


def one_after_another(biquad: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    def cascade(sos: Tensor, x: Tensor) -> Tensor:
        for k in range(sos.shape[2]):
            x = biquad(sos[:, :, k, :3], sos[:, :, k, 4:], x)
        return x

    return cascade


def control_rate(quick: bool) -> Iterator[Case]:
    for dtype in DTYPES[: 1 if quick else 2]:
        cell = Cell(22, 8, 48_000, dtype, True)
        for rival in ("ours at audio rate", "torchlpc"):
            build = functools.partial(control_rate_contest, rival)
            label = f"hop {HOP}, {cell}, against {rival}"
            yield Case(f"control rate, {cell.direction}", label, cell, build, words=5, chains=2)


def control_rate_contest(rival: str, cell: Cell, peers: Peers) -> Contest:
    """Frames that our kernel interpolates as it runs, against coefficients that PyTorch interpolates before."""
    x, _, g = signals(cell.order, cell.batch, cell.length, cell.dtype, False)
    count = cell.length // HOP + 1
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(cell.batch, count, cell.order, dtype=cell.dtype, generator=generator)
    frames = (frames - 0.5) / cell.order
    filters = {"ours at audio rate": allpole, **peers.moving_allpole(cell.order)}

    def interpolated(x: Tensor, frames: Tensor) -> Tensor:
        a = interpolate(frames.mT, cell.length, mode="linear", align_corners=True).mT
        return filters[rival](x, a.contiguous())

    calls = {f"{rival}, F.interpolate": interpolated} if rival in filters else {}
    rate = ControlRate.align_corners(count, cell.length)
    return contest(allpole, calls, x, frames, g, cell.backward, hop=rate)


def smoothing(quick: bool) -> Iterator[Case]:
    for batch, dtype in itertools.product((1, 8), DTYPES[: 1 if quick else 2]):
        cell = Cell(1, batch, 48_000, dtype, True)
        yield Case(f"ballistics, {cell.direction}", str(cell), cell, ballistics_contest, words=6, chains=2)


def ballistics_contest(cell: Cell, peers: Peers) -> Contest:
    """Gains between 0 and 1 that rise and fall often; each signal has its attack and release."""
    generator = torch.Generator().manual_seed(0)
    gains = torch.rand(cell.batch, cell.length, dtype=cell.dtype, generator=generator)
    attack, release, zi = (gains.new_full((cell.batch,), value) for value in (0.3, 0.05, 1.0))
    g = torch.randn(cell.batch, cell.length, dtype=cell.dtype, generator=generator)
    inputs = gains, attack, release, zi
    few = gains[:, :2], attack, release, zi
    for function in peers.ballistics().values():
        training(function, few, g[:, :2])()  # compiled before its first call is timed
    calls = {peer: training(function, inputs, g) for peer, function in peers.ballistics().items()}
    return Contest(training(ballistics, inputs, g), calls)


def tiny() -> Iterator[Case]:
    """What a call costs that has next to nothing to do."""
    for kind, build in (("LPV", moving_contest), ("LTI", fixed_contest)):
        for both in (False, True):
            cell = Cell(2, 1, 64, torch.float32, both)
            yield Case(f"tiny calls, {cell.direction}", f"{kind} all-pole, {cell}", cell, build, per_call=True)
