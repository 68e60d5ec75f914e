"""A short call like an earlier one, at half the cost.

To check a call's arguments, to choose its kernel and to lay out what the kernel reads takes longer than to filter some
thousand samples; and all of it depends on shapes and dtypes alone. So the launch of the first call of a kind is kept, and
the next ones launch it again, at the addresses of their own tensors. What is out of the ordinary (other devices, strides
and dtypes, autocast, `torch.func`, forward mode, compilers) goes the long way, and so do derivatives of derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch._C._functorch import unwrap_if_dead

from diffapf.filters._rows import REAL, RowFunction, in_forward_mode, shared, to_rows, unfilled
from diffapf.filters.control_rate import Timing, coefficient_rows
from diffapf.kernels import recorded, run

LONGEST = 1 << 17  # samples, from which on the rest of a call is nothing beside the kernel
MOST_KINDS = 1024  # that are kept; the shapes of a program are few


class ShortCalls:
    """Calls of y = filtered(x, a) from rest, by the kernel `name`, and of their gradients, by `<name>_adjoint`.

    `adjoint` is the differentiable function of that kernel: (g, a, y, zi, timing, wanted) → (dx, da, dzi).
    """

    def __init__(self, name: str, adjoint: type[RowFunction]) -> None:
        self.name, self.adjoint = name, adjoint
        self._kinds: dict[tuple, _Kind | None] = {}

    def __call__(self, x: Tensor, a: Tensor) -> Tensor | None:
        """y, or None where this call has to go the long way."""
        if _is_observed() or torch._C._is_any_autocast_enabled() or not (_is_ordinary(x) and _is_ordinary(a)):
            return None
        key = x.shape, a.shape, x.dtype, a.dtype
        kind = self._kinds[key] if key in self._kinds else self._new(key, x, a)
        if kind is None or kind.is_long:
            return None
        if torch.is_grad_enabled() and (x.requires_grad or a.requires_grad):
            return _Filtered.apply(x, a, kind)
        return kind.filtered(x, a)

    def _new(self, key: tuple, x: Tensor, a: Tensor) -> _Kind | None:
        kind = None
        if x.dtype in REAL and x.dim() and 0 < x.numel() < LONGEST and a.numel():
            rows, timing = coefficient_rows("a", a, x, None, share=True)
            if rows.data_ptr() == a.data_ptr():  # nothing has to be copied for the kernel
                kind = _Kind(self, to_rows(x), rows, timing)
        if len(self._kinds) >= MOST_KINDS:
            self._kinds.clear()
        self._kinds[key] = kind
        return kind


def _is_ordinary(tensor: Tensor) -> bool:
    """Whether its numbers stand one after another in the memory of the CPU, and it is nothing but them."""
    return (
        (type(tensor) is Tensor or type(tensor) is torch.nn.Parameter)
        and tensor.is_cpu
        and tensor.layout is torch.strided
        and tensor.is_contiguous()
        and not (tensor.is_neg() or tensor.is_conj() or tensor._is_zerotensor())
        and unwrap_if_dead(tensor) is tensor
    )


def _is_observed() -> bool:
    """Whether anybody wants to know more of a call than its result."""
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active() or in_forward_mode()


class _Kind:
    """All calls with such tensors. What their kernels read beside these is kept here, and never written to."""

    def __init__(self, calls: ShortCalls, x: Tensor, rows: Tensor, timing: Timing) -> None:
        self.calls, self.timing = calls, timing
        self.is_long = False  # whether these calls take several launches
        self._of_x, self._of_a = x.shape, rows.shape
        self._rest = x.new_zeros(x.shape[0], rows.shape[2])
        self._filter: Callable | None = None
        self._adjoints: dict[bool, Callable] = {}

    def filtered(self, x: Tensor, a: Tensor) -> Tensor:
        y = unfilled(x)
        if self._filter is not None:
            self._filter(x.data_ptr(), a.data_ptr(), y.data_ptr())
            return y
        with recorded() as launches:
            inputs = x.view(self._of_x), a.view(self._of_a), self.timing, self._rest
            run(self.calls.name, *inputs, out=(y.view(self._of_x),))
        self._filter = _again(launches, (x, a, y))
        self.is_long = len(launches) != 1
        return y

    def gradients(self, g: Tensor, a: Tensor, y: Tensor, wanted: bool) -> tuple[Tensor, Tensor | None]:
        """(dx, da), of which da is None unless it is wanted."""
        if torch.is_grad_enabled() or not _is_ordinary(g) or _is_observed():
            return self._by_rule(g, a, y, wanted)
        dx, da, dzi = unfilled(y), self._gradient_of_rows(a, wanted), unfilled(self._rest)
        places = (g, a, y, dx, dzi, da) if wanted else (g, a, y, dx, dzi)
        if adjoint := self._adjoints.get(wanted):
            adjoint(*(place.data_ptr() for place in places))
        else:
            with recorded() as launches:
                inputs = g.view(self._of_x), a.view(self._of_a), self.timing, y.view(self._of_x), self._rest
                run(f"{self.calls.name}_adjoint", *inputs, out=(dx.view(self._of_x), da, dzi))
            if again := _again(launches, places):
                self._adjoints[wanted] = again
        return dx, self._gradient(da, a) if wanted else None

    def _gradient_of_rows(self, a: Tensor, wanted: bool) -> Tensor:
        """Where the adjoint writes the gradient of moving coefficients, or adds to that of fixed ones."""
        if self.timing is None or not wanted:
            return a.new_empty(self._of_a[0], self._of_a[1] if wanted else 0, self._of_a[2])
        return a.new_zeros(self._of_x[0], 1, self._of_a[2], dtype=torch.float64)

    def _gradient(self, of_rows: Tensor, a: Tensor) -> Tensor:
        if self.timing is not None:
            of_rows = (of_rows.sum(0) if of_rows.numel() > a.numel() else of_rows).to(a.dtype)
        return of_rows.view(a.shape)

    def _by_rule(self, g: Tensor, a: Tensor, y: Tensor, wanted: bool) -> tuple[Tensor, Tensor | None]:
        rows, rest = a.view(self._of_a), torch.zeros_like(self._rest)
        inputs = g.reshape(self._of_x), rows, y.view(self._of_x), rest, self.timing, wanted
        dx, da, _ = self.calls.adjoint.apply(*inputs)
        return dx.view(g.shape), shared(da, rows).view(a.shape) if wanted else None


class _Filtered(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, a, kind):
        y = kind.filtered(x, a)
        ctx.save_for_backward(a, y)
        ctx.kind = kind
        return y

    @staticmethod
    def backward(ctx, g):
        a, y = ctx.saved_tensors
        return *ctx.kind.gradients(g, a, y, ctx.needs_input_grad[1]), None


def _again(launches: list, places: Sequence[Tensor]) -> Callable | None:
    """What was launched, as a function of the addresses of these tensors; None where it was not one launch."""
    return launches[0].again(places) if len(launches) == 1 else None
