"""Affine maps of one or two states, s ← H s + u, composed by a scan: composition is associative.

A map is the tuple (h, u) for one state, or (h₀₀, h₀₁, h₁₀, h₁₁, u₀, u₁) for two. All are float64: in float32, products of
a second-order filter's matrices lose what matters, for poles near ±1 thousands of times what the plain recursion loses.
"""

import triton
import triton.language as tl


@triton.jit
def after_first(h, u, h_next, u_next):
    """First this map, then the next: order 1."""
    return h_next * h, h_next * u + u_next


@triton.jit
def after_second(a, b, c, d, u, v, a_next, b_next, c_next, d_next, u_next, v_next):
    """First this map, then the next: order 2."""
    return (
        a_next * a + b_next * c,
        a_next * b + b_next * d,
        c_next * a + d_next * c,
        c_next * b + d_next * d,
        a_next * u + b_next * v + u_next,
        c_next * u + d_next * v + v_next,
    )


@triton.jit
def add_first(a, b, a_other, b_other):
    return a + a_other, b + b_other


@triton.jit
def add_second(a, b, c, d, u, v, a_other, b_other, c_other, d_other, u_other, v_other):
    return a + a_other, b + b_other, c + c_other, d + d_other, u + u_other, v + v_other


@triton.jit
def after(left, right, ORDER: tl.constexpr):
    if ORDER == 1:
        composed = after_first(left[0], left[1], right[0], right[1])
    else:
        composed = after_second(
            left[0], left[1], left[2], left[3], left[4], left[5],
            right[0], right[1], right[2], right[3], right[4], right[5],
        )  # fmt: skip
    return composed


@triton.jit
def composed(maps, ORDER: tl.constexpr, BACKWARD: tl.constexpr):
    """Of each map and all before it (backward: all after it), the composition."""
    if ORDER == 1:
        scanned = tl.associative_scan(maps, 0, after_first, reverse=BACKWARD)
    else:
        scanned = tl.associative_scan(maps, 0, after_second, reverse=BACKWARD)
    return scanned


@triton.jit
def picked(parts, where, ORDER: tl.constexpr):
    """The map in one place."""
    chosen = ()
    for part in tl.static_range(len(parts)):
        chosen = chosen + (tl.where(where, parts[part], 0.0),)
    if ORDER == 1:
        one = tl.reduce(chosen, 0, add_first)
    else:
        one = tl.reduce(chosen, 0, add_second)
    return one


@triton.jit
def unchanged(ORDER: tl.constexpr):
    """The map that changes nothing."""
    zero = tl.full([], 0.0, tl.float64)
    one = tl.full([], 1.0, tl.float64)
    if ORDER == 1:
        maps = (one, zero)
    else:
        maps = (one, zero, zero, one, zero, zero)
    return maps


@triton.jit
def applied(maps, state, ORDER: tl.constexpr):
    """The states that the maps lead to."""
    if ORDER == 1:
        states = (maps[0] * state[0] + maps[1],)
    else:
        newest = maps[0] * state[0] + maps[1] * state[1] + maps[4]
        states = (newest, maps[2] * state[0] + maps[3] * state[1] + maps[5])
    return states
