"""A feedback delay network at single frequencies, and its derivatives: `delay_network`, where a filter is a product.

    q = v + U diag(F) q,  F the response of each line's delay and filter

As in time, the gradients of q and of F q are h = g + F* p and p = Uᵀ h, so that p = Uᵀ g + Uᵀ diag(F*) p: the same equation
with Uᵀ and F*. ∂L/∂v = h, ∂L/∂F = p q*, ∂L/∂U = Re Σ h (F q)*ᵀ; the tangent of q is driven by v̇ + U̇ F q + U Ḟ q.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffapf.filters._rows import RowFunction, shared, unfilled
from diffapf.filters.circle_sampling import spectrum_of_taps
from diffapf.filters.delay_network import delay_network, loop_taps, mixed
from diffapf.kernels import run


class NetworkResponse(RowFunction):
    """(v, U, F) → q; v, F and q complex `(rows, lines, frequencies)`, U real `(rows, lines, lines)`."""

    COEFFICIENTS = (1, 2)

    @staticmethod
    def forward(v, U, F):
        q = unfilled(v)
        run("network_response", v, U, F, out=(q,))
        return q

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, U, F = inputs
        ctx.save_for_backward(U, F, output)
        ctx.save_for_forward(U, F, output)

    @staticmethod
    def backward(ctx, g):
        U, F, q = ctx.saved_tensors
        p = NetworkResponse.apply(_mixed(U.mT, g), U.mT, F.conj())
        h = g + _by_lines(F.conj(), p)
        dU = dF = None
        if ctx.needs_input_grad[1]:
            dU = shared(_inner(h, _by_lines(F, q)), U)
        if ctx.needs_input_grad[2]:
            dF = shared(p * q.conj(), F)
        return h, dU, dF

    @staticmethod
    def tangent(ctx, saved, dv, dU, dF):
        U, F, q = saved
        drive = torch.zeros_like(q) if dv is None else dv
        if dU is not None:
            drive = drive + _mixed(dU, _by_lines(F, q))
        if dF is not None:
            drive = drive + _mixed(U, _by_lines(dF, q))
        return NetworkResponse.apply(drive, U, F)


def _mixed(matrices: Tensor, spectra: Tensor) -> Tensor:
    """Real matrices by complex spectra, as pairs of real ones."""
    pairs = torch.view_as_real(spectra.resolve_conj())
    return torch.view_as_complex(mixed(matrices, pairs.flatten(-2)).unflatten(-1, (-1, 2)).contiguous())


def _inner(h: Tensor, w: Tensor) -> Tensor:
    """Re Σ h w*ᵀ over the frequencies."""
    h, w = (torch.view_as_real(each.resolve_conj()).flatten(-2) for each in (h, w))
    return mixed(h, w.mT)


def _by_lines(F: Tensor, q: Tensor) -> Tensor:
    """Each line's spectrum times its response, of which there may be fewer rows."""
    fewer = F.shape[0]
    return F * q if fewer == q.shape[0] else (F * q.unflatten(0, (-1, fewer))).flatten(0, 1)


@dataclass
class DelayNetwork:
    """A feedback delay network, described once for both domains; see `delay_network` for the arguments, without batches.

    Its state is what entered the lines.
    """

    delays: Sequence[int]
    U: Tensor
    absorption: Sequence[Tensor]
    B: Tensor
    C: Tensor

    def to(self, dtype: torch.dtype) -> DelayNetwork:
        U, B, C = (matrix.to(dtype) for matrix in (self.U, self.B, self.C))
        return DelayNetwork(self.delays, U, [taps.to(dtype) for taps in self.absorption], B, C)

    def run(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        it = self.to(x.dtype)
        return delay_network(x, it.delays, it.U, it.absorption, it.B, it.C, state, return_zf=True)  # type: ignore[return-value]

    def spectrum(self, n: int, radius: float) -> Tensor:
        """H at z = radius · exp(2πj k/n), k = 0 … n/2: complex128 `(outputs, inputs, n//2 + 1)`."""
        return self._response(self.B.double().mT[..., None].expand(-1, -1, n // 2 + 1), n, radius).transpose(0, 1)

    def driven(self, x: Tensor, n: int, radius: float) -> Tensor:
        """The outputs' spectra `(outputs, n//2 + 1)` of inputs' spectra `(inputs, n//2 + 1)`: one system, not one each."""
        return self._response(_mixed(self.B.double()[None], x[None]), n, radius)[0]

    def _response(self, v: Tensor, n: int, radius: float) -> Tensor:
        """What leaves the lines, `(rows, outputs, bins)`, where `(rows, lines, bins)` enters."""
        it = self.to(torch.float64)
        loops = loop_taps(it.delays, it.absorption, it.U)
        F = spectrum_of_taps(loops, 1, n, radius)
        q = NetworkResponse.apply(v.to(F.dtype), it.U[None], F[None])
        late = q * delay_spectra(tuple(it.delays), n, radius, loops.device)
        return _mixed(it.C[None], late)


@functools.lru_cache(maxsize=2)
def delay_spectra(delays: tuple[int, ...], n: int, radius: float, device: torch.device) -> Tensor:
    """z⁻ᵐ at z = radius · exp(2πj k/n), k = 0 … n/2."""
    with torch.inference_mode(False):  # what is kept must serve any call
        m = torch.tensor(delays, device=device)[:, None]
        turns = (m * torch.arange(n // 2 + 1, device=device) % n).double() / n  # the product would cost digits
        return torch.polar((radius ** -m.double()).expand_as(turns), -2 * math.pi * turns)
