"""The definition of every recurrence, as plain PyTorch loops over time.

Slow, and right on any device and dtype: every other kernel is tested against these, and the library runs on them where
no faster kernel applies. Notation: rows b, samples n, taps i; each function writes into the outputs its caller allocated.

**Coefficients** come as `(rows, frames, taps)` with a `timing`: `None` means one frame a sample; `(start, step)` means
that sample n reads the frames at position start + n·step, linearly interpolated, the last frame held. A fixed filter is
one frame held for ever: frames = 1, any timing. They may have fewer rows than the signal, of which they divide the number:
its row b then reads theirs modulo their number.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from diffapf.kernels import samples_of_block

Timing = tuple[float, float] | None
Kernel = Callable[..., None]


def frame_position(n: int, frames: int, timing: Timing) -> tuple[int, int, float]:
    """The two frames that sample n lies between, and the weight of the second."""
    if timing is None:
        return n, n, 0.0
    position = min(max(timing[0] + n * timing[1], 0.0), frames - 1.0)
    first = int(position)
    return first, min(first + 1, frames - 1), position - first


def coefficients_at(frames: Tensor, n: int, timing: Timing) -> Tensor:
    first, second, weight = frame_position(n, frames.shape[1], timing)
    if weight == 0.0:
        return frames[:, first]
    return frames[:, first] + weight * (frames[:, second] - frames[:, first])


def for_rows(coefficients: Tensor, rows: int) -> Tensor:
    """The coefficients that each row of the signal reads."""
    return coefficients.repeat(rows // max(coefficients.shape[0], 1), 1, 1)


def add_at(frames: Tensor, n: int, timing: Timing, value: Tensor) -> None:
    """The transpose of `coefficients_at`: adds the gradient of sample n's coefficients to the frames they came from."""
    first, second, weight = frame_position(n, frames.shape[1], timing)
    frames[:, first] += (1.0 - weight) * value
    frames[:, second] += weight * value


def allpole(x: Tensor, a: Tensor, timing: Timing, zi: Tensor, y: Tensor) -> None:
    """y[n] = x[n] − Σᵢ aᵢ[n] y[n−i], i = 1…M, with y[−i] = zi[i−1]."""
    past, a = zi, for_rows(a, x.shape[0])
    for n in range(x.shape[1]):
        y[:, n] = x[:, n] - (coefficients_at(a, n, timing) * past).sum(-1)
        past = torch.cat([y[:, n : n + 1], past], 1)[:, : zi.shape[1]]


def allpole_adjoint(
    g: Tensor, a: Tensor, timing: Timing, y: Tensor, zi: Tensor, dx: Tensor, da: Tensor, dzi: Tensor
) -> None:
    """dx[n] = g[n] − Σᵢ aᵢ[n+i] dx[n+i];  daᵢ[n] = −dx[n] y[n−i];  dzi continues dx's sum to n < 0.

    `da` has the frames of `a`, or no frames at all where it is not wanted.
    """
    taps, a = zi.shape[1], for_rows(a, g.shape[0])
    past = torch.cat([zi.flip(1), y], 1)
    pending = torch.zeros_like(zi)
    zero = torch.zeros_like(zi[:, :1])
    da.zero_()
    for n in range(g.shape[1] - 1, -1, -1):
        dx[:, n] = g[:, n] + (pending[:, 0] if taps else 0.0)
        if da.shape[1]:
            add_at(da, n, timing, -dx[:, n : n + 1] * past[:, n : n + taps].flip(1))
        pending = torch.cat([pending[:, 1:], zero], 1) - coefficients_at(a, n, timing) * dx[:, n : n + 1]
    dzi[:] = pending


def fir(x: Tensor, b: Tensor, timing: Timing, y: Tensor) -> None:
    """y[n] = Σₖ bₖ[n] x[n−k], k = 0…N−1; x begins N−1 samples before y."""
    taps, b = b.shape[2], for_rows(b, x.shape[0])
    for n in range(y.shape[1]):
        y[:, n] = (coefficients_at(b, n, timing) * x[:, n : n + taps].flip(1)).sum(-1)


def fir_transpose(g: Tensor, b: Tensor, timing: Timing, dx: Tensor) -> None:
    """dx[n−k] += bₖ[n] g[n]: the transpose of `fir` in x."""
    taps, b = b.shape[2], for_rows(b, g.shape[0])
    dx.zero_()
    for n in range(g.shape[1]):
        dx[:, n : n + taps] += (coefficients_at(b, n, timing) * g[:, n : n + 1]).flip(1)


def fir_outer(g: Tensor, x: Tensor, timing: Timing, db: Tensor) -> None:
    """dbₖ[n] = g[n] x[n−k]: the transpose of `fir` in b."""
    taps = db.shape[2]
    db.zero_()
    for n in range(g.shape[1]):
        add_at(db, n, timing, g[:, n : n + 1] * x[:, n : n + taps].flip(1))


def allpass(s: Tensor, p: Tensor, loop: Tensor, zi: Tensor, z: Tensor, w: Tensor) -> None:
    """K first-order all-passes in series inside a feedback loop, which may have no delay; z = (e, y₁ … y_K, f).

        e[n]  = s₀[n] + f[n]
        yₖ[n] = sₖ[n] + p[n] (yₖ₋₁[n] + yₖ[n−1]) − yₖ₋₁[n−1],   y₀ = e, w = y_K
        f[n]  = s_f[n] + q₀ w[n] + q₁ w[n−1] + q₂ w[n−2] + a f[n−1]

    s is `(rows, time, 1)`, the input s₀ alone, or `(rows, time, K+2)`, a source for each equation. loop = (q₀, q₁, q₂, a).
    zi = (e, y₁ … y_K, f at −1; w at −2). The stages are affine in e, so the loop is solved, not iterated:
    with the response of stage K to the past and the sources alone called S, w = pᴷ e + S.
    """
    stages = zi.shape[1] - 3
    q0, q1, q2, a = loop.unbind(1)
    previous, w2 = zi[:, :-1], zi[:, -1]
    for n in range(p.shape[1]):
        source = s[:, n] if s.shape[2] > 1 else torch.cat([s[:, n], torch.zeros_like(zi[:, : stages + 1])], 1)
        from_past, response = torch.zeros_like(w2), []
        for k in range(1, stages + 1):
            from_past = p[:, n] * from_past + (p[:, n] * previous[:, k] - previous[:, k - 1] + source[:, k])
            response.append(from_past)
        known = source[:, -1] + q1 * previous[:, stages] + q2 * w2 + a * previous[:, -1]
        gain = p[:, n] ** stages
        e = (source[:, 0] + known + q0 * from_past) / (1.0 - q0 * gain)
        z[:, n, 0] = e
        for k in range(1, stages + 1):
            z[:, n, k] = p[:, n] ** k * e + response[k - 1]
        z[:, n, -1] = q0 * (gain * e + from_past) + known
        previous, w2 = z[:, n], previous[:, stages]
    w[:] = z[:, :, stages]


def allpass_transpose(g: Tensor, p: Tensor, loop: Tensor, adjoint: Tensor) -> None:
    """The transpose of `allpass` in s, from rest: λ, run backward in time from the gradient g of z.

    λₖ[n]   = gₖ[n] + p[n] λₖ₊₁[n] − λₖ₊₁[n+1] + p[n+1] λₖ[n+1]     (the last term for k > 0 only)
    λ_K[n]  = g_K[n] + p[n+1] λ_K[n+1] + q₀ λ_f[n] + q₁ λ_f[n+1] + q₂ λ_f[n+2]
    λ_f[n]  = g_f[n] + λ₀[n] + a λ_f[n+1]

    """
    stages = adjoint.shape[2] - 2
    q0, q1, q2, a = loop.unbind(1)
    following = torch.zeros_like(adjoint[:, 0]) if p.shape[1] else adjoint.new_zeros(p.shape[0], stages + 2)
    f2 = torch.zeros_like(following[:, 0])
    p_next = torch.zeros_like(f2)
    for n in range(p.shape[1] - 1, -1, -1):
        gradient = g[:, n]
        f1 = following[:, -1]
        known = gradient[:, stages] + p_next * following[:, stages] + q1 * f1 + q2 * f2
        carried = []
        for k in range(stages - 1, -1, -1):
            memory = p_next * following[:, k] if k > 0 else 0.0
            carried.append(gradient[:, k] - following[:, k + 1] + memory)
        from_future = torch.zeros_like(f2)
        for term in carried:
            from_future = p[:, n] * from_future + term
        f_known = gradient[:, -1] + a * f1
        last = (known + q0 * (from_future + f_known)) / (1.0 - q0 * p[:, n] ** stages)
        adjoint[:, n, stages] = last
        for k, term in zip(range(stages - 1, -1, -1), carried, strict=True):
            adjoint[:, n, k] = p[:, n] * adjoint[:, n, k + 1] + term
        adjoint[:, n, -1] = adjoint[:, n, 0] + f_known
        following, f2, p_next = adjoint[:, n], f1, p[:, n]


def allpass_adjoint(
    g: Tensor, p: Tensor, loop: Tensor, z: Tensor, zi: Tensor, ds: Tensor, dp: Tensor, dloop: Tensor, dzi: Tensor
) -> None:
    """Every first-order gradient of w in one pass: `allpass_transpose` of g, and its products with z.

    ds = λ₀;  dp[n] = Σₖ λₖ[n] (yₖ₋₁[n] + yₖ[n−1]);  dq_d = Σₙ λ_f[n] w[n−d];  da = Σₙ λ_f[n] f[n−1]
    """
    stages = z.shape[2] - 2
    adjoint, g_all = torch.zeros_like(z), torch.zeros_like(z)
    g_all[:, :, stages] = g
    allpass_transpose(g_all, p, loop, adjoint)
    ds[:] = adjoint[:, :, 0]
    dp[:] = (adjoint[:, :, 1:-1] * stage_inputs(z, zi)).sum(-1)
    dloop[:] = (adjoint[:, :, -1:] * loop_inputs(z, zi)).sum(1)
    dzi[:] = initial_state_gradient(adjoint, p, loop)


def of_output(allpass: Kernel, allpass_adjoint: Kernel) -> tuple[Kernel, Kernel]:
    """`allpass` and its adjoint for callers that keep one output, a K+3rd of the signals; made of those two."""

    def allpass_output(
        x: Tensor, p: Tensor, loop: Tensor, through: Tensor, zi: Tensor, y: Tensor, ends: Tensor
    ) -> None:
        """y[n] = through·x[n] + w[n], and the state after each of as many equal parts of a row as there are `ends`.

        `ends` are `(rows, parts, K+3)`; the last part takes the samples that are left over. Backward in time an all-pass
        is one too, and forgets: from w and the state at an end, all signals can be had again, to rounding.
        """
        z, w = x.new_empty(*p.shape, zi.shape[1] - 1), torch.empty_like(x)
        allpass(x[:, :, None], p, loop, zi, z, w)
        y[:] = through[:, None] * x + w
        before = torch.cat([zi[:, None, :-1], z], 1)  # the state before n, but for w a sample earlier
        w2 = torch.cat([zi[:, -1:], before[:, :-1, -2]], 1)
        parts, time = ends.shape[1], p.shape[1]
        for part in range(parts):
            n = time if part == parts - 1 else (part + 1) * (time // parts)
            ends[:, part, :-1], ends[:, part, -1] = before[:, n], w2[:, n]

    def allpass_output_adjoint(
        g: Tensor, x: Tensor, p: Tensor, loop: Tensor, through: Tensor, zi: Tensor, y: Tensor, ends: Tensor,
        dx: Tensor, dp: Tensor, dloop: Tensor, dthrough: Tensor, dzi: Tensor,
    ) -> None:  # fmt: skip
        """The gradients of y = `allpass_output`(x, p, loop, through, zi)."""
        z = x.new_empty(*p.shape, zi.shape[1] - 1)
        allpass(x[:, :, None].contiguous(), p, loop, zi, z, torch.empty_like(y))
        allpass_adjoint(g, p, loop, z, zi, dx, dp, dloop, dzi)
        dx += through[:, None] * g
        dthrough[:] = (g * x).sum(1)

    return allpass_output, allpass_output_adjoint


allpass_output, allpass_output_adjoint = of_output(allpass, allpass_adjoint)


def allpass_output_tangent(
    dx: Tensor,
    dp: Tensor,
    dloop: Tensor,
    dthrough: Tensor,
    dzi: Tensor,
    x: Tensor,
    p: Tensor,
    loop: Tensor,
    through: Tensor,
    z: Tensor,
    zi: Tensor,
    dy: Tensor,
    dzf: Tensor,
) -> None:
    """How y = w + g x and the state after the last sample move with (x, p, loop, g, zi): ẇ is `allpass` of the sources −Ṁ z,

        ẋ[n],   ṗ[n] (yₖ₋₁[n] + yₖ[n−1]),   q̇₀ w[n] + q̇₁ w[n−1] + q̇₂ w[n−2] + ȧ f[n−1]

    dx and dp have no samples where x or p does not move. The others may have fewer rows than the tangents.
    """
    shares = dy.shape[0] // max(p.shape[0], 1)
    x, p, loop, zi = (each.repeat(shares, 1) for each in (x, p, loop, zi))
    through, z = through.repeat(shares), z.repeat(shares, 1, 1)
    s = torch.zeros_like(z)
    if dx.shape[1]:
        s[:, :, 0] = dx
    if dp.shape[1]:
        s[:, :, 1:-1] = dp[:, :, None] * stage_inputs(z, zi)
    s[:, :, -1] = (dloop[:, None] * loop_inputs(z, zi)).sum(2)
    dz = torch.zeros_like(z)
    allpass(s, p, loop, dzi, dz, dy)
    after = torch.cat([dzi[:, None, :-1], dz], 1)
    before = torch.cat([dzi[:, -1:], after[:, :, -2]], 1)
    dzf[:] = torch.cat([after[:, -1], before[:, -2:-1]], 1)
    dy += dthrough[:, None] * x
    if dx.shape[1]:
        dy += through[:, None] * dx


def stage_inputs(z: Tensor, zi: Tensor) -> Tensor:
    """What p multiplies in each stage: yₖ₋₁[n] + yₖ[n−1]."""
    return z[:, :, :-2] + torch.cat([zi[:, None, 1:-2], z[:, :-1, 1:-1]], 1)[:, : z.shape[1]]


def loop_inputs(z: Tensor, zi: Tensor) -> Tensor:
    """What q₀, q₁, q₂ and a multiply: w[n], w[n−1], w[n−2], f[n−1]."""
    time = z.shape[1]
    w = torch.cat([zi[:, -1:], zi[:, -3:-2], z[:, :, -2]], 1)  # starts at n = −2
    f = torch.cat([zi[:, -2:-1], z[:, :, -1]], 1)
    return torch.stack([w[:, 2:], w[:, 1 : 1 + time], w[:, :time], f[:, :time]], -1)


def initial_state_gradient(adjoint: Tensor, p: Tensor, loop: Tensor) -> Tensor:
    """The gradient of `allpass`'s zi from λ: what each equation of the first two samples reads of the past."""
    stages = adjoint.shape[2] - 2
    rows, time = p.shape
    if time == 0:
        return adjoint.new_zeros(rows, stages + 3)
    q0, q1, q2, a = loop.unbind(1)
    first = adjoint[:, 0]
    later_f = adjoint[:, 1, -1] if time > 1 else torch.zeros_like(first[:, -1])
    stage = first[:, 1:-1]
    state = p[:, :1] * torch.cat([torch.zeros_like(q0)[:, None], stage], 1)  # p λₖ: each stage's own memory
    state = state - torch.cat([stage, torch.zeros_like(q0)[:, None]], 1)  # −λₖ₊₁: the memory of the stage before
    loop_memory = q1 * first[:, -1] + q2 * later_f
    state = torch.cat([state[:, :-1], (state[:, -1] + loop_memory)[:, None]], 1)
    return torch.cat([state, (a * first[:, -1])[:, None], (q2 * first[:, -1])[:, None]], 1)


# ---------------------------------------------------------------------------------------------------------- direct forms
# Four ways to run Σ bᵢ z⁻ⁱ / (1 + Σ aᵢ z⁻ⁱ), i ≤ M: the same filter while coefficients stand still, four systems when
# they move. `b` is `(rows, frames, M+1)`, `a` `(rows, frames, M)`, with one timing. zi and zf are the state before and
# after. Each adjoint takes the gradients of y and zf, gives those of x, b, a and zi, and writes db and da only where they
# have frames.


def _shifted_in(newest: Tensor, past: Tensor) -> Tensor:
    """The past one sample later, newest first."""
    return torch.cat([newest[:, None], past], 1)[:, : past.shape[1]]


def _advanced(registers: Tensor) -> Tensor:
    """Each register takes over the next one's content."""
    return torch.cat([registers[:, 1:], torch.zeros_like(registers[:, :1])], 1)


def _add_products(
    db: Tensor, da: Tensor, n: int, timing: Timing, for_b: tuple[Tensor, Tensor], for_a: tuple[Tensor, Tensor]
) -> None:
    """Adds to the gradients of sample n's coefficients: a signal's sample times the taps' own samples of another."""
    if db.shape[1]:
        add_at(db, n, timing, for_b[0][:, None] * for_b[1])
    if da.shape[1]:
        add_at(da, n, timing, -for_a[0][:, None] * for_a[1])


# These three are no recurrences: without a loop they are quick on any device, and need no other kernel on a GPU.


def frame_positions(time: int, frames: int, timing: tuple[float, float], like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`frame_position` of all samples."""
    position = timing[0] + timing[1] * torch.arange(time, dtype=torch.float64, device=like.device)
    position = position.clamp(0.0, frames - 1.0)
    first = position.long()
    return first, (first + 1).clamp(max=frames - 1), (position - first).to(like.dtype)


def interpolated(frames: Tensor, timing: tuple[float, float], time: int) -> Tensor:
    """The frames `(rows, frames, …)` at each sample, `(rows, time, …)`."""
    first, second, weight = frame_positions(time, frames.shape[1], timing, frames)
    weight = weight.reshape(-1, *[1] * (frames.dim() - 2))
    return frames[:, first] + weight * (frames[:, second] - frames[:, first])


def tanh_of_frames(v: Tensor, timing: tuple[float, float], p: Tensor) -> None:
    """p[n] = tanh of v at sample n, v `(rows, frames)` interpolated."""
    p[:] = torch.tanh(interpolated(v, timing, p.shape[1]))


def tanh_of_frames_adjoint(g: Tensor, p: Tensor, timing: tuple[float, float], dv: Tensor) -> None:
    """Each sample's g (1 − p²), added to the frames that p came from."""
    first, second, weight = frame_positions(p.shape[1], dv.shape[1], timing, p)
    gradient = g * (1.0 - p.square())
    dv.zero_().index_add_(1, first, (1.0 - weight) * gradient).index_add_(1, second, weight * gradient)


def tanh_of_frames_tangent(dv: Tensor, p: Tensor, timing: tuple[float, float], dp: Tensor) -> None:
    """dp[n] = (1 − p²) times dv at sample n, dv `(rows, frames)` interpolated; p may have fewer rows."""
    slope = (1.0 - p.square()).repeat(dv.shape[0] // max(p.shape[0], 1), 1)
    dp[:] = slope * interpolated(dv, timing, p.shape[1])


def harmonics(psi: Tensor, top: Tensor, orders: int, turned: tuple[float, float]) -> Tensor:
    """sin(kψ + quarters π/2), k = 1 … orders, 0 above `top`: `(rows, time, orders)`; `turned` is (hop, quarters)."""
    k = torch.arange(1, orders + 1, device=psi.device)
    return torch.sin(k * psi[:, :, None] + turned[1] * torch.pi / 2) * (k <= top[:, :, None])


def harmonic_sum(weights: Tensor, psi: Tensor, top: Tensor, turned: tuple[float, float], y: Tensor) -> None:
    """y[n] = Σₖ wₖ[n] sin(kψ[n] + quarters π/2), w `(rows, frames, K)` interpolated, a frame each hop."""
    at_samples = interpolated(weights, (0.0, 1 / turned[0]), psi.shape[1])
    y[:] = (at_samples * harmonics(psi, top, weights.shape[2], turned)).sum(-1)


def harmonic_sum_adjoint(g: Tensor, psi: Tensor, top: Tensor, turned: tuple[float, float], dweights: Tensor) -> None:
    """Each sample's g sin(kψ + quarters π/2), added to the two frames that it lies between."""
    first, second, weight = frame_positions(psi.shape[1], dweights.shape[1], (0.0, 1 / turned[0]), psi)
    each = (g[:, :, None] * harmonics(psi, top, dweights.shape[2], turned)).to(dweights.dtype)
    weight = weight[:, None].to(dweights.dtype)
    dweights.zero_().index_add_(1, first, (1.0 - weight) * each).index_add_(1, second, weight * each)


def stepped_up(k: Tensor) -> Tensor:
    """Reflections `(rows, M)` → a `(rows, M+1)` of order M: aₘ[i] = aₘ₋₁[i] + kₘ aₘ₋₁[m−i], a₀ = 1."""
    a = torch.ones_like(k[:, :1]) if k.shape[1] else k.new_ones(k.shape[0], 1)
    for reflection in k.unbind(1):
        longer = torch.cat([a, torch.zeros_like(a[:, :1])], 1)
        a = longer + reflection[:, None] * longer.flip(1)
    return a


def step_up(k: Tensor, a: Tensor) -> None:
    a[:] = stepped_up(k)


def step_up_adjoint(g: Tensor, k: Tensor, dk: Tensor) -> None:
    """dk[m] = Σᵢ gₘ[i] aₘ₋₁[m−i], i = 1…m, where gₘ₋₁[i] = gₘ[i] + kₘ gₘ[m−i], from that of order M."""
    for m in range(k.shape[1], 0, -1):
        dk[:, m - 1] = (g[:, 1:] * stepped_up(k[:, : m - 1]).flip(1)).sum(1)
        g = (g + k[:, m - 1 : m] * g.flip(1))[:, :-1]


# A direct form's a may come with its leading coefficient, as long as b: then both are divided by it.


def normalised(b: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    return (b / a[:, :, :1], a[:, :, 1:] / a[:, :, :1]) if a.shape[2] == b.shape[2] else (b, a)


def direct_form(kernel: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(kernel)
    def run(x, b, a, timing, zi, *outputs):
        kernel(x, *normalised(b, a), timing, zi, *outputs)

    return run


def direct_form_adjoint(kernel: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(kernel)
    def run(g, gzf, x, b, a, timing, zi, signal, dx, db, da, dzi):
        b_normal, a_normal = normalised(b, a)
        da_normal = da if a_normal is a else torch.empty_like(da[:, :, 1:])
        kernel(g, gzf, x, b_normal, a_normal, timing, zi, signal, dx, db, da_normal, dzi)
        if a_normal is a:
            return
        db /= a[:, : db.shape[1], :1]
        if da.shape[1]:
            da[:, :, 1:] = da_normal / a[:, :, :1]
            da[:, :, 0] = -(db * b_normal).sum(2) - (da[:, :, 1:] * a_normal).sum(2)

    return run


@direct_form
def direct_form_1(x: Tensor, b: Tensor, a: Tensor, timing: Timing, zi: Tensor, y: Tensor, zf: Tensor) -> None:
    """y[n] = Σᵢ bᵢ[n] x[n−i] − Σᵢ aᵢ[n] y[n−i]; the state is the past M inputs, then the past M outputs, newest first."""
    order = a.shape[2]
    inputs, outputs = zi[:, :order], zi[:, order:]
    for n in range(x.shape[1]):
        read = torch.cat([x[:, n : n + 1], inputs], 1)
        y[:, n] = (coefficients_at(b, n, timing) * read).sum(1) - (coefficients_at(a, n, timing) * outputs).sum(1)
        inputs, outputs = read[:, :order], _shifted_in(y[:, n], outputs)
    zf[:] = torch.cat([inputs, outputs], 1)


@direct_form_adjoint
def direct_form_1_adjoint(
    g: Tensor,
    gzf: Tensor,
    x: Tensor,
    b: Tensor,
    a: Tensor,
    timing: Timing,
    zi: Tensor,
    y: Tensor,
    dx: Tensor,
    db: Tensor,
    da: Tensor,
    dzi: Tensor,
) -> None:
    """d[n] = g[n] − Σᵢ aᵢ[n+i] d[n+i];  dx[n] = Σᵢ bᵢ[n+i] d[n+i];  dbᵢ[n] = d[n] x[n−i];  daᵢ[n] = −d[n] y[n−i].

    gzf joins the gradients of the last samples; dzi continues both sums to n < 0.
    """
    order = a.shape[2]
    inputs = torch.cat([zi[:, :order].flip(1), x], 1)
    outputs = torch.cat([zi[:, order:].flip(1), y], 1)
    of_inputs, of_outputs = gzf[:, :order], gzf[:, order:]
    db.zero_()
    da.zero_()
    for n in range(g.shape[1] - 1, -1, -1):
        d = g[:, n] + of_outputs[:, :1].sum(1)
        read = inputs[:, n : n + order + 1].flip(1)
        _add_products(db, da, n, timing, (d, read), (d, outputs[:, n : n + order].flip(1)))
        along_b = coefficients_at(b, n, timing) * d[:, None]
        dx[:, n] = along_b[:, 0] + of_inputs[:, :1].sum(1)
        of_inputs = _advanced(of_inputs) + along_b[:, 1:]
        of_outputs = _advanced(of_outputs) - coefficients_at(a, n, timing) * d[:, None]
    dzi[:] = torch.cat([of_inputs, of_outputs], 1)


@direct_form
def direct_form_2(
    x: Tensor, b: Tensor, a: Tensor, timing: Timing, zi: Tensor, y: Tensor, zf: Tensor, w: Tensor
) -> None:
    """w[n] = x[n] − Σᵢ aᵢ[n] w[n−i];  y[n] = Σᵢ bᵢ[n] w[n−i]; the state is the past M of w, newest first."""
    past = zi
    for n in range(x.shape[1]):
        w[:, n] = x[:, n] - (coefficients_at(a, n, timing) * past).sum(1)
        read = torch.cat([w[:, n : n + 1], past], 1)
        y[:, n] = (coefficients_at(b, n, timing) * read).sum(1)
        past = read[:, : zi.shape[1]]
    zf[:] = past


@direct_form_adjoint
def direct_form_2_adjoint(
    g: Tensor,
    gzf: Tensor,
    x: Tensor,
    b: Tensor,
    a: Tensor,
    timing: Timing,
    zi: Tensor,
    w: Tensor,
    dx: Tensor,
    db: Tensor,
    da: Tensor,
    dzi: Tensor,
) -> None:
    """dx[n] = Σᵢ bᵢ[n+i] g[n+i] − Σᵢ aᵢ[n+i] dx[n+i];  dbᵢ[n] = g[n] w[n−i];  daᵢ[n] = −dx[n] w[n−i].

    gzf joins dx's sum at the last samples; dzi continues it to n < 0.
    """
    order = a.shape[2]
    past = torch.cat([zi.flip(1), w], 1)
    pending = gzf
    db.zero_()
    da.zero_()
    for n in range(g.shape[1] - 1, -1, -1):
        along_b = coefficients_at(b, n, timing) * g[:, n : n + 1]
        dx[:, n] = along_b[:, 0] + pending[:, :1].sum(1)
        read = past[:, n : n + order + 1].flip(1)
        _add_products(db, da, n, timing, (g[:, n], read), (dx[:, n], read[:, 1:]))
        pending = _advanced(pending) + along_b[:, 1:] - coefficients_at(a, n, timing) * dx[:, n : n + 1]
    dzi[:] = pending


@direct_form
def transposed_direct_form_1(
    x: Tensor, b: Tensor, a: Tensor, timing: Timing, zi: Tensor, y: Tensor, zf: Tensor, w: Tensor
) -> None:
    """w[n] = x[n] + p₁[n];  pᵢ[n+1] = pᵢ₊₁[n] − aᵢ[n] w[n];  y[n] = b₀[n] w[n] + q₁[n];  qᵢ[n+1] = qᵢ₊₁[n] + bᵢ[n] w[n].

    That is w[n] = x[n] − Σᵢ aᵢ[n−i] w[n−i], y[n] = Σᵢ bᵢ[n−i] w[n−i]; the state is p₁ … p_M, q₁ … q_M.
    """
    order = a.shape[2]
    p, q = zi[:, :order], zi[:, order:]
    for n in range(x.shape[1]):
        w[:, n] = x[:, n] + p[:, :1].sum(1)
        along_b = coefficients_at(b, n, timing) * w[:, n : n + 1]
        y[:, n] = along_b[:, 0] + q[:, :1].sum(1)
        p = _advanced(p) - coefficients_at(a, n, timing) * w[:, n : n + 1]
        q = _advanced(q) + along_b[:, 1:]
    zf[:] = torch.cat([p, q], 1)


@direct_form_adjoint
def transposed_direct_form_1_adjoint(
    g: Tensor,
    gzf: Tensor,
    x: Tensor,
    b: Tensor,
    a: Tensor,
    timing: Timing,
    zi: Tensor,
    w: Tensor,
    dx: Tensor,
    db: Tensor,
    da: Tensor,
    dzi: Tensor,
) -> None:
    """dx[n] = Σᵢ bᵢ[n] g[n+i] − Σᵢ aᵢ[n] dx[n+i];  dbᵢ[n] = w[n] g[n+i];  daᵢ[n] = −w[n] dx[n+i].

    Past the end dx and g go on with gzf; dzi is their first M samples.
    """
    order = a.shape[2]
    later_dx, later_g = gzf[:, :order], gzf[:, order:]
    db.zero_()
    da.zero_()
    for n in range(g.shape[1] - 1, -1, -1):
        read = torch.cat([g[:, n : n + 1], later_g], 1)
        dx[:, n] = (coefficients_at(b, n, timing) * read).sum(1) - (coefficients_at(a, n, timing) * later_dx).sum(1)
        _add_products(db, da, n, timing, (w[:, n], read), (w[:, n], later_dx))
        later_dx, later_g = _shifted_in(dx[:, n], later_dx), read[:, :order]
    dzi[:] = torch.cat([later_dx, later_g], 1)


@direct_form
def transposed_direct_form_2(
    x: Tensor, b: Tensor, a: Tensor, timing: Timing, zi: Tensor, y: Tensor, zf: Tensor
) -> None:
    """y[n] = b₀[n] x[n] + s₁[n];  sᵢ[n+1] = sᵢ₊₁[n] + bᵢ[n] x[n] − aᵢ[n] y[n]; the state is s₁ … s_M."""
    state = zi
    for n in range(x.shape[1]):
        along_b = coefficients_at(b, n, timing) * x[:, n : n + 1]
        y[:, n] = along_b[:, 0] + state[:, :1].sum(1)
        state = _advanced(state) + along_b[:, 1:] - coefficients_at(a, n, timing) * y[:, n : n + 1]
    zf[:] = state


@direct_form_adjoint
def transposed_direct_form_2_adjoint(
    g: Tensor,
    gzf: Tensor,
    x: Tensor,
    b: Tensor,
    a: Tensor,
    timing: Timing,
    zi: Tensor,
    y: Tensor,
    dx: Tensor,
    db: Tensor,
    da: Tensor,
    dzi: Tensor,
) -> None:
    """r[n] = g[n] − Σᵢ aᵢ[n] r[n+i];  dx[n] = Σᵢ bᵢ[n] r[n+i];  dbᵢ[n] = x[n] r[n+i];  daᵢ[n] = −y[n] r[n+i].

    Past the end r goes on with gzf; dzi is its first M samples.
    """
    later = gzf
    db.zero_()
    da.zero_()
    for n in range(g.shape[1] - 1, -1, -1):
        r = g[:, n] - (coefficients_at(a, n, timing) * later).sum(1)
        read = torch.cat([r[:, None], later], 1)
        dx[:, n] = (coefficients_at(b, n, timing) * read).sum(1)
        _add_products(db, da, n, timing, (x[:, n], read), (y[:, n], later))
        later = read[:, : later.shape[1]]
    dzi[:] = later


def sos_cascade(x: Tensor, sos: Tensor, timing: Timing, zi: Tensor, y: Tensor, zf: Tensor, between: Tensor) -> None:
    """S second-order sections in series, each (b₀, b₁, b₂, a₁, a₂) as `transposed_direct_form_2`.

    sos is `(rows, frames, S, 5)`, the states `(rows, S, 2)`; `between` gets the signals between sections, `(rows, S−1,
    time)`.
    """
    sections = sos.shape[2]
    zf[:] = zi
    for n in range(x.shape[1]):
        b0, b1, b2, a1, a2 = coefficients_at(sos, n, timing).unbind(-1)
        signal = x[:, n]
        for k in range(sections):
            output = b0[:, k] * signal + zf[:, k, 0]
            zf[:, k, 0] = zf[:, k, 1] + b1[:, k] * signal - a1[:, k] * output
            zf[:, k, 1] = b2[:, k] * signal - a2[:, k] * output
            signal = output
            if k < sections - 1:
                between[:, k, n] = signal
        y[:, n] = signal


def sos_cascade_adjoint(
    g: Tensor,
    gzf: Tensor,
    x: Tensor,
    sos: Tensor,
    timing: Timing,
    zi: Tensor,
    y: Tensor,
    between: Tensor,
    dx: Tensor,
    dsos: Tensor,
    dzi: Tensor,
) -> None:
    """`transposed_direct_form_2_adjoint` of the last section, whose dx is the gradient of the output before it, and so on.

    dsos has the frames of sos, or none where it is not wanted.
    """
    sections = sos.shape[2]
    signals = torch.cat([x[:, None], between, y[:, None]], 1)
    dsos.zero_()
    dzi[:] = gzf  # r at the next two samples, of each section
    for n in range(g.shape[1] - 1, -1, -1):
        b0, b1, b2, a1, a2 = coefficients_at(sos, n, timing).unbind(-1)
        gradient = g[:, n]
        products = []
        for k in range(sections - 1, -1, -1):
            r1, r2 = dzi[:, k, 0].clone(), dzi[:, k, 1].clone()
            r = gradient - a1[:, k] * r1 - a2[:, k] * r2
            source, output = signals[:, k, n], signals[:, k + 1, n]
            products.append(torch.stack([source * r, source * r1, source * r2, -output * r1, -output * r2], 1))
            gradient = b0[:, k] * r + b1[:, k] * r1 + b2[:, k] * r2
            dzi[:, k, 0], dzi[:, k, 1] = r, r1
        dx[:, n] = gradient
        if dsos.shape[1]:
            add_at(dsos, n, timing, torch.stack(products[::-1], 1))


def moving_sos_cascade(x: Tensor, sos: Tensor, zi: Tensor, y: Tensor, zf: Tensor, between: Tensor) -> None:
    """`sos_cascade` with a row a sample, `(rows, time, S, 6)`: (b₀, b₁, b₂, a₀, a₁, a₂), each divided by its a₀."""
    sos_cascade(x, _normalised_sections(sos), None, zi, y, zf, between)


def moving_sos_cascade_adjoint(
    g: Tensor,
    gzf: Tensor,
    x: Tensor,
    sos: Tensor,
    y: Tensor,
    between: Tensor,
    dx: Tensor,
    dsos: Tensor,
    dzi: Tensor,
) -> None:
    """`sos_cascade_adjoint` of the same."""
    sections = _normalised_sections(sos)
    gradient = torch.empty_like(sections[:, : dsos.shape[1]])
    sos_cascade_adjoint(g, gzf, x, sections, None, torch.zeros_like(dzi), y, between, dx, gradient, dzi)
    if dsos.shape[1]:
        inverse = 1 / sos[..., 3:4]
        dsos[..., :3], dsos[..., 4:] = gradient[..., :3] * inverse, gradient[..., 3:] * inverse
        dsos[..., 3:4] = -(gradient * sections).sum(3, keepdim=True) * inverse


def _normalised_sections(sos: Tensor) -> Tensor:
    return torch.cat([sos[..., :3], sos[..., 4:]], 3) / sos[..., 3:4]


def fixed_sos_cascade(x: Tensor, sos: Tensor, zi: Tensor, y: Tensor, states: Tensor) -> None:
    """`sos_cascade` with fixed coefficients, `(rows, 1, S, 5)`; keeps no signals, but the registers between blocks.

    `states` are `(rows, blocks + 1, S, 2)`: those before each block, of `samples_of_block`, and after the last. All but the
    signals is of float64.
    """
    time, sections, length = x.shape[1], sos.shape[2], samples_of_block(x.shape[1], states)
    states[:, 0] = zi
    for i in range(states.shape[1] - 1):
        block = slice(i * length, min((i + 1) * length, time))
        between = x.new_empty(x.shape[0], sections - 1, x[:, block].shape[1])
        sos_cascade(x[:, block], sos, (0.0, 0.0), states[:, i], y[:, block], states[:, i + 1], between)


def fixed_sos_cascade_adjoint(
    g: Tensor, gzf: Tensor, x: Tensor, sos: Tensor, states: Tensor, dx: Tensor, dsos: Tensor, dzi: Tensor
) -> None:
    """`sos_cascade_adjoint` of the same; of `states`, those before the first block tell all others."""
    g, x, zi, zf = g.double(), x.double(), states[:, 0], states[:, 0].clone()
    y, between = torch.empty_like(x), x.new_empty(x.shape[0], sos.shape[2] - 1, x.shape[1])
    sos_cascade(x, sos, (0.0, 0.0), zi, y, zf, between)
    sos_cascade_adjoint(g, gzf, x, sos, (0.0, 0.0), zi, y, between, dx, dsos, dzi)


def dense_recurrence(A: Tensor, u: Tensor, v0: Tensor, v: Tensor) -> None:
    """v[n] = A[n] v[n−1] + u[n], v[−1] = v0; A is `(rows, time, N, N)`, or `(rows, 1, N, N)` for all time."""
    state = v0
    for n in range(u.shape[1]):
        state = (A[:, n % A.shape[1]] * state[:, None]).sum(-1) + u[:, n]
        v[:, n] = state


def dense_recurrence_adjoint(g: Tensor, A: Tensor, v0: Tensor, v: Tensor, dA: Tensor, du: Tensor, dv0: Tensor) -> None:
    """du[n] = g[n] + A[n+1]ᵀ du[n+1];  dA[n] = du[n] v[n−1]ᵀ;  dv0 = A[0]ᵀ du[0].

    dA has the frames of A, or none where it is not wanted.
    """
    dA.zero_()
    dv0.zero_()
    for n in range(g.shape[1] - 1, -1, -1):
        du[:, n] = g[:, n] + dv0
        if dA.shape[1]:
            dA[:, n % A.shape[1]] += du[:, n, :, None] * (v[:, n - 1] if n else v0)[:, None, :]
        dv0[:] = (A[:, n % A.shape[1]] * du[:, n, :, None]).sum(1)


def delay_network(x: Tensor, U: Tensor, f: Tensor, zi: Tensor, q: Tensor, w: Tensor) -> None:
    """w[n] = Σₗ f[l−1] ∘ q[n−l], l = 1…L, with q[−l] = zi[l−1];  q[n] = x[n] + U w[n].

    x, q and w are `(rows, lines, time)`, zi `(rows, lines, L)`; of U, `(·, lines, lines)`, and f, `(·, lines, L)`, there may
    be fewer rows, as of coefficients.
    """
    U, f, past = for_rows(U, x.shape[0]), for_rows(f, x.shape[0]), zi
    for n in range(x.shape[2]):
        w[..., n] = (f * past).sum(-1)
        q[..., n] = x[..., n] + (U * w[..., n][:, None]).sum(-1)
        past = torch.cat([q[..., n : n + 1], past], -1)[..., : zi.shape[2]]


def network_response(v: Tensor, U: Tensor, F: Tensor, q: Tensor) -> None:
    """(I − U diag F) q = v at each frequency: v, q and F are complex `(rows, lines, frequencies)`, U is real.

    No recurrence, but that of `delay_network` at one frequency; U and F as there.
    """
    U, F = for_rows(U, v.shape[0]), for_rows(F, v.shape[0])
    loop = torch.eye(U.shape[1], dtype=v.dtype, device=v.device) - U[:, None] * F.movedim(2, 1)[:, :, None]
    q.copy_(torch.linalg.solve(loop, v.movedim(2, 1)[..., None])[..., 0].movedim(1, 2))


def ballistics(g: Tensor, at: Tensor, rt: Tensor, zi: Tensor, y: Tensor) -> None:
    """y[n] = β g[n] + (1−β) y[n−1], β = at if g[n] < y[n−1] else rt; y[−1] = zi. at, rt and zi are one a row."""
    past = zi
    for n in range(g.shape[1]):
        rate = torch.where(g[:, n] < past, at, rt)
        past = rate * g[:, n] + (1.0 - rate) * past
        y[:, n] = past


def ballistics_adjoint(
    gradient: Tensor,
    g: Tensor,
    at: Tensor,
    rt: Tensor,
    zi: Tensor,
    y: Tensor,
    dg: Tensor,
    dat: Tensor,
    drt: Tensor,
    dzi: Tensor,
) -> None:
    """h[n] = gradient[n] + (1−β[n+1]) h[n+1];  dg = β h;  dβ[n] = h[n] (g[n] − y[n−1]), added to the branch taken.

    dg may have no samples: then nobody asks for it.
    """
    for total in (dat, drt, dzi):
        total.zero_()
    for n in range(g.shape[1] - 1, -1, -1):
        past = y[:, n - 1] if n else zi
        attack = g[:, n] < past
        rate = torch.where(attack, at, rt)
        h = gradient[:, n] + dzi
        if dg.shape[1]:
            dg[:, n] = rate * h
        of_rate = h * (g[:, n] - past)
        dat += torch.where(attack, of_rate, 0.0)
        drt += torch.where(attack, 0.0, of_rate)
        dzi[:] = (1.0 - rate) * h


def ballistics_tangent(
    dg: Tensor,
    dat: Tensor,
    drt: Tensor,
    dzi: Tensor,
    g: Tensor,
    at: Tensor,
    rt: Tensor,
    zi: Tensor,
    y: Tensor,
    dy: Tensor,
) -> None:
    """dy[n] = β dg[n] + dβ (g[n] − y[n−1]) + (1−β) dy[n−1]; dy[−1] = dzi.

    g, at, rt, zi and y may have fewer rows than the tangents; a dg without samples is 0.
    """
    directions = dzi.shape[0] // max(g.shape[0], 1)
    at, rt, past, moved = at.repeat(directions), rt.repeat(directions), zi.repeat(directions), dzi
    for n in range(g.shape[1]):
        now = g[:, n].repeat(directions)
        attack = now < past
        rate, drate = torch.where(attack, at, rt), torch.where(attack, dat, drt)
        drive = rate * dg[:, n] if dg.shape[1] else 0.0
        moved = drive + drate * (now - past) + (1.0 - rate) * moved
        dy[:, n] = moved
        past = y[:, n].repeat(directions)


# These two are no recurrences either.
#
# A compressor's static curve, from level to gain. In dB, L the level and u₊ a ramp with a quadratic knee of width W:
#     G = −s (L − T)₊ − e (E − L)₊,   numbers = (T, s, W) or (T, s, W, E, e)
# kind is (k, c): L = k ln(level), or the level itself for k = 0; gain = exp(c G), or G itself for c = 0.


def ramp(u: Tensor, width: Tensor) -> Tensor:
    """0 below −W/2, u above W/2, (u + W/2)²/(2W) between."""
    bent = (u + width / 2).square() / (2 * torch.where(width > 0, width, 1.0))
    return torch.where(u >= width / 2, u, torch.where(u <= -width / 2, 0.0, bent))


def ramp_slopes(u: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """The ramp's derivatives by u and by W."""
    part = (u + width / 2) / torch.where(width > 0, width, 1.0)
    above, below = u >= width / 2, u <= -width / 2
    by_u = torch.where(above, 1.0, torch.where(below, 0.0, part))
    return by_u, torch.where(above | below, 0.0, part * (1 - part) / 2)


def decibels(level: Tensor, kind: tuple[float, float]) -> Tensor:
    """A level in dB; what is below the smallest normal number counts as that."""
    return kind[0] * torch.log(level.clamp_min(torch.finfo(level.dtype).tiny)) if kind[0] else level


def curve_of(level: Tensor, numbers: Tensor, kind: tuple[float, float]) -> Tensor:
    """The gain, of PyTorch's own operations."""
    threshold, slope, width = numbers[:, :3, None].unbind(1)
    loudness = decibels(level, kind)
    reduction = slope * ramp(loudness - threshold, width)
    if numbers.shape[1] == 5:
        reduction = reduction + numbers[:, 4:] * ramp(numbers[:, 3:4] - loudness, width)
    return torch.exp(-kind[1] * reduction) if kind[1] else -reduction


def curve_slopes(level: Tensor, numbers: Tensor, gain: Tensor, kind: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """∂gain/∂level `(rows, time)` and ∂gain/∂numbers `(rows, numbers, time)`."""
    threshold, slope, width = numbers[:, :3, None].unbind(1)
    loudness = decibels(level, kind)
    above = loudness - threshold
    by_u, by_width = ramp_slopes(above, width)
    by_loudness = -slope * by_u
    parts = [slope * by_u, -ramp(above, width), -slope * by_width]
    if numbers.shape[1] == 5:
        below, expansion = numbers[:, 3:4] - loudness, numbers[:, 4:]
        by_u, by_width = ramp_slopes(below, width)
        by_loudness = by_loudness + expansion * by_u
        parts[2] = parts[2] - expansion * by_width
        parts += [-expansion * by_u, -ramp(below, width)]
    scale = kind[1] * gain if kind[1] else torch.ones_like(gain)
    by_level = by_loudness
    if kind[0]:
        tiny = torch.finfo(level.dtype).tiny
        by_level = torch.where(level < tiny, 0.0, by_loudness * kind[0] / level.clamp_min(tiny))
    return scale * by_level, scale[:, None] * torch.stack(parts, 1)


def gain_curve(level: Tensor, numbers: Tensor, kind: tuple[float, float], gain: Tensor) -> None:
    """gain = curve(level), `numbers` one set a row."""
    gain[:] = curve_of(level, numbers, kind)


def gain_curve_adjoint(
    g: Tensor, level: Tensor, numbers: Tensor, gain: Tensor, kind: tuple[float, float], dlevel: Tensor, dnumbers: Tensor
) -> None:
    """g times the curve's slopes: at each sample for the level, summed for the numbers."""
    by_level, by_numbers = curve_slopes(level, numbers, gain, kind)
    dlevel[:] = g * by_level
    dnumbers[:] = (g[:, None] * by_numbers).sum(-1)


def gain_curve_tangent(
    dlevel: Tensor,
    dnumbers: Tensor,
    level: Tensor,
    numbers: Tensor,
    gain: Tensor,
    kind: tuple[float, float],
    dgain: Tensor,
) -> None:
    """The slopes times the tangents; level, numbers and gain may have fewer rows; a dlevel without samples is 0."""
    by_level, by_numbers = curve_slopes(level, numbers, gain, kind)
    directions = dnumbers.shape[0] // max(level.shape[0], 1)
    dgain[:] = (dnumbers[:, :, None] * by_numbers.repeat(directions, 1, 1)).sum(1)
    if dlevel.shape[1]:
        dgain += by_level.repeat(directions, 1) * dlevel


# y = x (d + w γ), γ a gain, or with c ≠ 0 the exponential of c times a gain in dB; numbers = (d, w), one pair a row.


def linear_gain(gain: Tensor, kind: tuple[float]) -> Tensor:
    return torch.exp(kind[0] * gain) if kind[0] else gain


def gained(x: Tensor, gain: Tensor, numbers: Tensor, kind: tuple[float]) -> Tensor:
    """x (d + w γ), of PyTorch's own operations."""
    return x * (numbers[:, :1] + numbers[:, 1:] * linear_gain(gain, kind))


def gained_slopes(x: Tensor, gain: Tensor, numbers: Tensor, kind: tuple[float]) -> tuple[Tensor, Tensor, Tensor]:
    """Its derivatives by x, by the gain and by w; that by d is x."""
    now = linear_gain(gain, kind)
    by_gain = x * numbers[:, 1:] * (kind[0] * now if kind[0] else 1.0)
    return numbers[:, :1] + numbers[:, 1:] * now, by_gain, x * now


def apply_gain(x: Tensor, gain: Tensor, numbers: Tensor, kind: tuple[float], y: Tensor) -> None:
    """y = x (d + w γ)."""
    y[:] = gained(x, gain, numbers, kind)


def apply_gain_adjoint(
    g: Tensor, x: Tensor, gain: Tensor, numbers: Tensor, kind: tuple[float], dx: Tensor, dgain: Tensor, dnumbers: Tensor
) -> None:
    """dx = g (d + w γ);  dgain = g x w γ';  dd = Σ g x;  dw = Σ g x γ. dx may have no samples: then nobody asks for it."""
    by_x, by_gain, by_wet = gained_slopes(x, gain, numbers, kind)
    if dx.shape[1]:
        dx[:] = g * by_x
    dgain[:] = g * by_gain
    dnumbers[:] = torch.stack([(g * x).sum(1), (g * by_wet).sum(1)], 1)


def apply_gain_tangent(
    dx: Tensor,
    dgain: Tensor,
    dnumbers: Tensor,
    x: Tensor,
    gain: Tensor,
    numbers: Tensor,
    kind: tuple[float],
    dy: Tensor,
) -> None:
    """dy of the tangents; x, gain and numbers may have fewer rows; a dx or a dgain without samples is 0."""
    directions = dnumbers.shape[0] // max(x.shape[0], 1)
    by_x, by_gain, by_wet = (each.repeat(directions, 1) for each in gained_slopes(x, gain, numbers, kind))
    dy[:] = dnumbers[:, :1] * x.repeat(directions, 1) + dnumbers[:, 1:] * by_wet
    if dgain.shape[1]:
        dy += by_gain * dgain
    if dx.shape[1]:
        dy += by_x * dx


# A photocell in a levelling amplifier's feedback loop. States are (c₁, c₂), `(rows, time, 2)`; numbers are
# (log T, p or log B, φ, q, attack, release, s, w, slow attack, slow release); kind is (lamp, slow), indices.
#     c = (1−w) c₁ + w c₂,  log ĝ = −log(1 + c^q),  v = log|x| + φ log ĝ − log T,  log ℓ = p v  or  p − exp(−v/2)
#     c₁ ← c₁ + α (ℓ − c₁),  α = a (1 + s c₁)/(1 + a s c₁),  a = attack if ℓ > c₁ else release
#     c₂ ← c₂ + b (d − c₂),  d = ℓ (parallel) or the new c₁ (memory);  or (c₂ + b c₁)/(1 + b c₁ + b′) (traps)

DARK, SILENT = 1e-12, 1e-10  # c and |x| below these count as that: logarithms end there


def cell_gain(states: Tensor, curve: Tensor, share: Tensor) -> Tensor:
    """ĝ of `(..., 2)`."""
    c = ((1 - share) * states[..., 0] + share * states[..., 1]).clamp_min(DARK)
    return 1 / (1 + torch.exp(curve * torch.log(c)))


def cell_step(before: Tensor, x: Tensor, numbers: Tensor, kind: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """The next states, `(rows, time, 2)`, and their slopes `(rows, time, 2, 2 + 10 + 1)` by states, numbers and x."""
    lamp, slow = kind
    threshold, p, phi, q, attack, release, speed, share, slow_attack, slow_release = numbers[:, None].unbind(-1)
    fast, held = before.unbind(-1)
    c = (1 - share) * fast + share * held
    log_c = torch.log(c.clamp_min(DARK))
    power = torch.exp(q * log_c)
    log_gain, bent = -torch.log1p(power), -power / (1 + power)
    by_c = torch.where(c >= DARK, bent * q / c.clamp_min(DARK), 0.0)
    v = torch.log(x.abs().clamp_min(SILENT)) + phi * log_gain - threshold
    if lamp:
        dimming = torch.exp(-v / 2)
        light, by_v, by_p = torch.exp(p - dimming), dimming / 2, torch.ones_like(v)
    else:
        light, by_v, by_p = torch.exp(p * v), p, v
    over_x = torch.where(x.abs() >= SILENT, 1 / torch.where(x == 0, 1.0, x), 0.0)
    zero = torch.zeros_like(v)

    def row(**known: Tensor) -> Tensor:
        return torch.stack([known.get(name, zero) + zero for name in CELL_ARGUMENTS], -1)

    of_log_light = row(
        fast=by_v * phi * by_c * (1 - share),
        held=by_v * phi * by_c * share,
        threshold=-by_v,
        p=by_p,
        phi=by_v * log_gain,
        q=by_v * phi * bent * log_c,
        share=by_v * phi * by_c * (held - fast),
        x=by_v * over_x,
    )
    rises, way = light > fast, light - fast
    rate = torch.where(rises, attack, release)
    scale = 1 / (1 + rate * speed * fast)
    alpha, faster = rate * (1 + speed * fast) * scale, way * rate * (1 - rate) * scale**2
    by_rate = way * (1 + speed * fast) * scale**2
    of_fast = (alpha * light)[..., None] * of_log_light + row(
        fast=1 - alpha + faster * speed,
        attack=torch.where(rises, by_rate, 0.0),
        release=torch.where(rises, 0.0, by_rate),
        speed=faster * fast,
    )
    fast = fast + alpha * way
    if slow == TRAPS:
        scale = 1 / (1 + slow_attack * fast + slow_release)
        held = (held + slow_attack * fast) * scale
        of_held = (slow_attack * (1 - held) * scale)[..., None] * of_fast + row(
            held=scale, slow_attack=fast * (1 - held) * scale, slow_release=-held * scale
        )
    else:
        drive = fast if slow == MEMORY else light
        of_drive = of_fast if slow == MEMORY else light[..., None] * of_log_light
        rises, way = drive > held, drive - held
        rate = torch.where(rises, slow_attack, slow_release)
        of_held = rate[..., None] * of_drive + row(
            held=1 - rate, slow_attack=torch.where(rises, way, 0.0), slow_release=torch.where(rises, 0.0, way)
        )
        held = held + rate * way
    return torch.stack([fast, held], -1), torch.stack([of_fast, of_held], -2)


PARALLEL, MEMORY, TRAPS = 0, 1, 2
CELL_ARGUMENTS = (
    *("fast", "held"),
    *("threshold", "p", "phi", "q", "attack", "release", "speed", "share", "slow_attack", "slow_release"),
    "x",
)


def optical_cell(x: Tensor, numbers: Tensor, zi: Tensor, kind: tuple[float, float], states: Tensor) -> None:
    past = zi
    for n in range(x.shape[1]):
        past = cell_step(past[:, None], x[:, n : n + 1], numbers, kind)[0][:, 0]
        states[:, n] = past


def optical_cell_adjoint(
    g: Tensor,
    x: Tensor,
    numbers: Tensor,
    zi: Tensor,
    states: Tensor,
    kind: tuple[float, float],
    dx: Tensor,
    dnumbers: Tensor,
    dzi: Tensor,
) -> None:
    """h[n] = g[n] + J[n+1]ᵀ h[n+1], J the slopes by the states before; dnumbers = Σ (slopes by numbers)ᵀ h, dx likewise."""
    dnumbers.zero_()
    dzi.zero_()
    for n in range(x.shape[1] - 1, -1, -1):
        before = states[:, n - 1] if n else zi
        slopes = cell_step(before[:, None], x[:, n : n + 1], numbers, kind)[1][:, 0]
        along = ((g[:, n] + dzi)[:, :, None] * slopes).sum(1)
        dzi[:], dx[:, n] = along[:, :2], along[:, -1]
        dnumbers += along[:, 2:-1]


def optical_cell_tangent(
    dx: Tensor,
    dnumbers: Tensor,
    dzi: Tensor,
    x: Tensor,
    numbers: Tensor,
    zi: Tensor,
    states: Tensor,
    kind: tuple[float, float],
    dstates: Tensor,
) -> None:
    """dc[n] = J[n] dc[n−1] + slopes by numbers · dnumbers + slopes by x · dx[n]; dc[−1] = dzi.

    x, numbers, zi and states may have fewer rows than the tangents; a dx without samples is 0.
    """
    directions, moved = dzi.shape[0] // max(x.shape[0], 1), dzi
    for n in range(x.shape[1]):
        before = states[:, n - 1] if n else zi
        slopes = cell_step(before[:, None], x[:, n : n + 1], numbers, kind)[1][:, 0].repeat(directions, 1, 1)
        at_x = dx[:, n : n + 1] if dx.shape[1] else torch.zeros_like(moved[:, :1])
        moved = (slopes * torch.cat([moved, dnumbers, at_x], 1)[:, None]).sum(-1)
        dstates[:, n] = moved
