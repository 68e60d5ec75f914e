"""The step-up recursion as one operator: as a composition its derivative is a hundred passes over many small filters."""

from __future__ import annotations

from diffapf.filters._composition import pull_back, push_forward
from diffapf.filters._rows import RowFunction, unfilled
from diffapf.kernels import run
from diffapf.kernels.reference import stepped_up


class StepUp(RowFunction):
    """k `(rows, M)` → a `(rows, M+1)`."""

    @staticmethod
    def forward(k):
        a = k.new_empty(k.shape[0], k.shape[1] + 1)
        run("step_up", k, out=(a,))
        return a

    @staticmethod
    def backward(ctx, g):
        return StepUpAdjoint.apply(g, *ctx.saved_tensors)

    @staticmethod
    def tangent(ctx, saved, dk):
        return push_forward(_composition, saved, (dk,))[0]


class StepUpAdjoint(RowFunction):
    """(the gradient of a, k) → that of k."""

    @staticmethod
    def forward(g, k):
        dk = unfilled(k)
        run("step_up_adjoint", g, k.conj(), out=(dk,))
        return dk

    @staticmethod
    def backward(ctx, along):
        return pull_back(_adjoint_composition, ctx.saved_tensors, (along,))

    @staticmethod
    def tangent(ctx, saved, dg, dk):
        return push_forward(_adjoint_composition, saved, (dg, dk))[0]


def _composition(k):
    return (stepped_up(k),)


def _adjoint_composition(g, k):
    return pull_back(_composition, (k,), (g,))
