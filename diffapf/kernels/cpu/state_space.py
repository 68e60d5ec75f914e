"""A dense recurrence of vectors, and its adjoint; see `reference.py` for the equations."""

from __future__ import annotations

from torch import Tensor

from diffapf.kernels.cpu.launch import jit, over_rows


@jit
def _dense_recurrence(first, last, A, u, v0, v):
    frames, states = A.shape[1], v0.shape[1]
    for b in range(first, last):
        for n in range(u.shape[1]):
            frame = 0 if frames == 1 else n
            for i in range(states):
                total = u[b, n, i]
                for j in range(states):
                    total += A[b, frame, i, j] * (v[b, n - 1, j] if n else v0[b, j])
                v[b, n, i] = total


def dense_recurrence(A: Tensor, u: Tensor, v0: Tensor, v: Tensor) -> None:
    over_rows(_dense_recurrence, u.shape[0], u.numel() * v0.shape[1], (A, u, v0, v), (u.dtype,))


@jit
def _dense_recurrence_adjoint(first, last, g, A, v0, v, dA, du, dv0):
    frames, states = A.shape[1], v0.shape[1]
    for b in range(first, last):
        dv0[b] = 0
        dA[b] = 0
        for n in range(g.shape[1] - 1, -1, -1):
            frame = 0 if frames == 1 else n
            for i in range(states):
                du[b, n, i] = g[b, n, i] + dv0[b, i]
                dv0[b, i] = 0
            for i in range(states):
                now = du[b, n, i]
                for j in range(states):
                    dv0[b, j] += A[b, frame, i, j] * now
                if dA.shape[1]:
                    for j in range(states):
                        dA[b, frame, i, j] += now * (v[b, n - 1, j] if n else v0[b, j])


def dense_recurrence_adjoint(g: Tensor, A: Tensor, v0: Tensor, v: Tensor, dA: Tensor, du: Tensor, dv0: Tensor) -> None:
    work = 2 * g.numel() * v0.shape[1]
    over_rows(_dense_recurrence_adjoint, g.shape[0], work, (g, A, v0, v, dA, du, dv0), (g.dtype,))
