"""A short call like an earlier one, at half the cost.

To check a call's arguments, to choose its kernel and to lay out what the kernel reads takes longer than to filter some
thousand samples; and all of it depends on shapes and dtypes alone. So the launches of the first call of a kind are kept, and
the next ones launch them again, at the addresses of their own tensors. What is large or out of the ordinary (other devices,
strides and dtypes, autocast, `torch.func`, forward mode, compilers) goes the long way, and so do derivatives of derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import unwrap_if_dead

from diffapf.filters._rows import REAL, in_forward_mode, in_newer_maps, to_rows, unfilled
from diffapf.filters.control_rate import Timing
from diffapf.kernels import recorded, run
from diffapf.kernels.pages import LARGE

LONGEST = 1 << 19  # samples, from which on the rest of a call is nothing beside the kernel
MOST_KINDS = 1024  # that are kept; the shapes of a program are few

UNKNOWN: Any = object()

Tensors = tuple[Tensor, ...]


class Filter:
    """y = filter(x, *coefficients) from rest, by a kernel, and its adjoint `<kernel>_adjoint`, as calls of it need them.

    Of a call's tensors, which are x, the coefficients, y and what else the kernel writes, the adjoint reads those at the
    places `read`, the coefficients in a row among them. Kernels and rules take signals and coefficients as rows.
    """

    kernel: str
    read: tuple[int, ...]

    def layout(self, x, *coefficients):
        """(rows of the coefficients, their timing, the number of registers); None where the kernel does not apply."""
        raise NotImplementedError

    def others(self, zi, of_y):
        """What else the kernel writes, unfilled, where y's shape is this."""
        return ()

    def inputs_of_adjoint(self, g, timing, zi, *read):
        raise NotImplementedError

    def gradients(self, g, timing, zi, wanted, *read):
        """Those of x and of the coefficients, by the differentiable rule."""
        raise NotImplementedError

    def written(self, *wanted):
        """Which coefficients' gradients the adjoint writes where these are wanted."""
        return wanted

    def check(self, *tensors):
        """After a call."""


class ShortCalls:
    def __init__(self, filter_: Filter) -> None:
        self.filter = filter_
        self._kinds: dict[tuple, _Kind | None] = {}

    def __call__(self, x: Tensor, *coefficients: Tensor) -> Tensor | None:
        """y, or None where this call has to go the long way."""
        if _is_observed() or torch._C._is_any_autocast_enabled() or not _is_ordinary(x):
            return None
        key: tuple = x.shape, x.dtype
        differentiable = x.requires_grad
        for each in coefficients:  # written out: of what a call takes, this is much
            if not _is_ordinary(each):
                return None
            key += each.shape, each.dtype
            differentiable |= each.requires_grad
        kind = self._kinds.get(key, UNKNOWN)
        if kind is UNKNOWN:
            kind = self._new(key, (x, *coefficients))
        if kind is None or kind.is_long:
            return None
        if differentiable and torch.is_grad_enabled():
            return _Filtered.apply(kind, x, *coefficients)
        return kind.filtered((x, *coefficients))[1 + len(coefficients)]

    def _new(self, key: tuple, inputs: Tensors) -> _Kind | None:
        x, *coefficients = inputs
        kind = None
        if x.dtype in REAL and x.dim() and 0 < x.numel() < LONGEST and all(0 < c.nbytes < LARGE for c in coefficients):
            layout = self.filter.layout(*inputs)
            if layout is not None and all(map(_is_same, layout[0], coefficients)):
                kind = _Kind(self.filter, to_rows(x), *layout)
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


def _is_same(rows: Tensor, coefficients: Tensor) -> bool:
    """Whether these rows are what is in memory, so that nothing has to be copied for the kernel."""
    return rows.data_ptr() == coefficients.data_ptr() and rows.numel() == coefficients.numel()


def _is_observed() -> bool:
    """Whether anybody wants to know more of a call than its result."""
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active() or in_forward_mode()


class _Kind:
    """All calls with such tensors. What their kernels read beside these is kept here, and never written to."""

    def __init__(
        self, filter_: Filter, x: Tensor, coefficients: Sequence[Tensor], timing: Timing, registers: int
    ) -> None:
        self.filter, self.timing = filter_, timing
        self.is_long = False  # whether there is more to these calls than launches
        self._rest = x.new_zeros(x.shape[0], registers)
        self._rows = [x.shape, *(each.shape for each in coefficients), x.shape]  # as which x, these and y are taken
        self._first_coefficient = filter_.read.index(1)
        self._launch: Callable | None = None
        self._adjoints: dict[tuple[bool, ...], Callable] = {}

    def filtered(self, inputs: Tensors) -> Tensors:
        """All tensors of the call."""
        tensors = *inputs, unfilled(inputs[0]), *self.filter.others(self._rest, self._rows[0])
        if self._launch is not None:
            self._launch(*[tensor.data_ptr() for tensor in tensors])
        else:
            rows, count = self._as_rows(tensors), len(inputs)
            with recorded() as recording:
                run(self.filter.kernel, *rows[:count], self.timing, self._rest, out=tuple(rows[count:]))
            if _apart(tensors):
                self._launch = recording and recording.again(tensors, [self._rest])
                self.is_long = self._launch is None
        self.filter.check(*tensors)
        return tensors

    def gradients(self, g: Tensor, read: Tensors, wanted: tuple[bool, ...]) -> tuple[Tensor | None, ...]:
        """Of x and of each of the coefficients, None unless it is wanted."""
        if torch.is_grad_enabled() or not _is_ordinary(g) or _is_observed():
            rest, rows = torch.zeros_like(self._rest), self._as_rows(read, self.filter.read)
            of_rows, *gradients = self.filter.gradients(g.reshape(self._rows[0]), self.timing, rest, wanted, *rows)
            dx = of_rows.view(g.shape)
        else:
            dx, *gradients = self._by_adjoint(g, read, self.filter.written(*wanted))
        coefficients = read[self._first_coefficient :]
        return dx, *[_of(each, of) if w else None for each, of, w in zip(coefficients, gradients, wanted, strict=False)]

    def _by_adjoint(self, g: Tensor, read: Tensors, written: tuple[bool, ...]) -> tuple[Tensor, ...]:
        dx, dzi = unfilled(g), unfilled(self._rest)
        gradients = [self._unfilled_gradient(g, shape, w) for shape, w in zip(self._rows[1:-1], written, strict=True)]
        tensors = g, *read, dx, dzi, *(gradient for gradient, w in zip(gradients, written, strict=True) if w)
        if adjoint := self._adjoints.get(written):
            adjoint(*[tensor.data_ptr() for tensor in tensors])
            return dx, *gradients
        rows = self._as_rows(read, self.filter.read)
        with recorded() as recording:
            inputs = self.filter.inputs_of_adjoint(g.view(self._rows[0]), self.timing, self._rest, *rows)
            run(f"{self.filter.kernel}_adjoint", *inputs, out=(dx.view(self._rows[0]), *gradients, dzi))
        if _apart(tensors) and recording and (adjoint := recording.again(tensors, [self._rest])):
            self._adjoints[written] = adjoint
        return dx, *gradients

    def _unfilled_gradient(self, g: Tensor, shape: torch.Size, written: bool) -> Tensor:
        """Where the adjoint writes the gradient of moving coefficients, or adds to that of fixed ones."""
        if self.timing is None or not written:
            return g.new_empty(shape[0], shape[1] if written else 0, shape[2])
        return g.new_zeros(self._rows[0][0], 1, shape[2], dtype=torch.float64)

    def _as_rows(self, tensors: Sequence[Tensor], places: Sequence[int] | None = None) -> list[Tensor]:
        """Those tensors of a call that are at these places (all), as the kernels take them."""
        shapes = dict(enumerate(self._rows))
        numbered = zip(range(len(tensors)) if places is None else places, tensors, strict=True)
        return [tensor.view(shapes[place]) if place in shapes else tensor for place, tensor in numbered]


def _of(coefficients: Tensor, gradient: Tensor) -> Tensor:
    """The gradient of coefficients as they were given, from that of each row's."""
    if gradient.shape == coefficients.shape and gradient.dtype == coefficients.dtype:
        return gradient
    whole = gradient.sum(0) if gradient.numel() > coefficients.numel() else gradient
    return whole.to(coefficients.dtype).view(coefficients.shape)


def _apart(tensors: Sequence[Tensor]) -> bool:
    """Whether no two of them begin at the same place: where they do, an address does not tell which one is meant."""
    return len({tensor.data_ptr() for tensor in tensors}) == len(tensors)


class _Filtered(torch.autograd.Function):
    @staticmethod
    def forward(ctx, kind, *inputs):
        tensors = kind.filtered(inputs)
        ctx.save_for_backward(*[tensors[place] for place in kind.filter.read])
        ctx.kind = kind
        return tensors[len(inputs)]

    @staticmethod
    @in_newer_maps
    def backward(ctx, g):
        return None, *ctx.kind.gradients(g, ctx.saved_tensors, ctx.needs_input_grad[2:])
