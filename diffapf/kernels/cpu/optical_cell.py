"""A levelling amplifier's photocell, its adjoint and its tangent; see `reference.py` for the equations."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from diffapf.kernels.cpu.launch import jit, over_rows, step
from diffapf.kernels.cpu.log_exp import exp, log
from diffapf.kernels.reference import DARK, MEMORY, SILENT, TRAPS

OPERATIONS = 100  # a sample: four logarithms and exponentials, one after the other


@step
def _loudness(x, log_gain, threshold, phi):
    magnitude = abs(np.float64(x))
    return log(magnitude if magnitude > SILENT else SILENT) + phi * log_gain - threshold


@step
def _log_gain(fast, held, share, q):
    """log ĝ, c, log c and −c^q/(1 + c^q)."""
    c = fast + share * (held - fast)
    log_c = log(c if c > DARK else DARK)
    power = exp(q * log_c)
    return -log(1.0 + power), c, log_c, -power / (1.0 + power)


@step
def _light(v, p, lamp):
    """ℓ, and the slopes of its logarithm by v and by p."""
    if lamp:
        dimming = exp(-0.5 * v)
        return exp(p - dimming), 0.5 * dimming, 1.0
    return exp(p * v), p, v


@jit
def _optical_cell(first, last, x, numbers, zi, lamp, slow, states):
    for b in range(first, last):
        threshold, p, phi, q = numbers[b, 0], numbers[b, 1], numbers[b, 2], numbers[b, 3]
        attack, release, speed, share = numbers[b, 4], numbers[b, 5], numbers[b, 6], numbers[b, 7]
        slow_attack, slow_release = np.float64(numbers[b, 8]), np.float64(numbers[b, 9])
        fast, held = np.float64(zi[b, 0]), np.float64(zi[b, 1])
        for n in range(x.shape[1]):
            log_gain = _log_gain(fast, held, share, q)[0]
            light = _light(_loudness(x[b, n], log_gain, threshold, phi), p, lamp != 0.0)[0]
            rate = attack if light > fast else release
            fast += rate * (1.0 + speed * fast) / (1.0 + rate * speed * fast) * (light - fast)
            if slow == TRAPS:
                held = (held + slow_attack * fast) / (1.0 + slow_attack * fast + slow_release)
            else:
                drive = fast if slow == MEMORY else light
                held += (slow_attack if drive > held else slow_release) * (drive - held)
            states[b, n, 0], states[b, n, 1] = fast, held


def optical_cell(x: Tensor, numbers: Tensor, zi: Tensor, kind, states: Tensor) -> None:
    over_rows(_optical_cell, x.shape[0], x.numel() * OPERATIONS, (x, numbers, zi, *kind, states), (x.dtype,))


@step
def _of_light(fast, held, x, numbers, b, lamp):
    """ℓ, and the slopes of its logarithm by log|x| (and −log T), c, p, φ and q."""
    threshold, p, phi, q, share = numbers[b, 0], numbers[b, 1], numbers[b, 2], numbers[b, 3], numbers[b, 7]
    log_gain, c, log_c, bent = _log_gain(fast, held, share, q)
    light, by_v, by_p = _light(_loudness(x, log_gain, threshold, phi), p, lamp != 0.0)
    chain = by_v * phi * bent
    return light, by_v, (chain * q / c if c >= DARK else 0.0), by_p, by_v * log_gain, chain * log_c


@step
def _of_fast(fast, light, numbers, b):
    """The slopes of the new c₁ by log ℓ, c₁, its rate and s; and whether it rises."""
    rises, way, speed = light > fast, light - fast, numbers[b, 6]
    rate = numbers[b, 4] if rises else numbers[b, 5]
    scale = 1.0 / (1.0 + rate * speed * fast)
    alpha, faster = rate * (1.0 + speed * fast) * scale, way * rate * (1.0 - rate) * scale * scale
    by_rate = way * (1.0 + speed * fast) * scale * scale
    return alpha * light, 1.0 - alpha + faster * speed, by_rate, faster * fast, rises


@step
def _of_held(fast, held, after, light, numbers, b, slow):
    """The slopes of the new c₂ by c₂, the new c₁, log ℓ, and the slow attack and release; `after` is the new c₂."""
    attack, release = numbers[b, 8], numbers[b, 9]
    if slow == TRAPS:
        scale = 1.0 / (1.0 + attack * fast + release)
        free = (1.0 - after) * scale
        return scale, attack * free, 0.0, fast * free, -after * scale
    drive = fast if slow == MEMORY else light
    way = drive - held
    rate = np.float64(attack if way > 0 else release)
    by_fast, by_light = (rate, 0.0) if slow == MEMORY else (0.0, rate * light)
    return 1.0 - rate, by_fast, by_light, (way if way > 0 else 0.0), (0.0 if way > 0 else way)


@jit
def _optical_cell_adjoint(first, last, g, x, numbers, zi, states, lamp, slow, dx, dnumbers, dzi):
    for b in range(first, last):
        share, of_fast, of_held = np.float64(numbers[b, 7]), 0.0, 0.0
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = s8 = s9 = 0.0
        for m in range(x.shape[1]):
            n = x.shape[1] - 1 - m
            fast = np.float64(states[b, np.uintp(n - 1), 0] if n else zi[b, 0])
            held = np.float64(states[b, np.uintp(n - 1), 1] if n else zi[b, 1])
            light, by_v, by_c, by_p, by_phi, by_q = _of_light(fast, held, x[b, n], numbers, b, lamp)
            by_light, by_fast, by_rate, by_speed, rises = _of_fast(fast, light, numbers, b)
            held_by_held, held_by_fast, held_by_light, by_slow_attack, by_slow_release = _of_held(
                np.float64(states[b, n, 0]), held, np.float64(states[b, n, 1]), light, numbers, b, slow
            )
            held_along = g[b, n, 1] + of_held
            fast_along = g[b, n, 0] + of_fast + held_by_fast * held_along
            along = by_light * fast_along + held_by_light * held_along
            magnitude = abs(np.float64(x[b, n]))
            dx[b, n] = along * by_v / x[b, n] if magnitude >= SILENT else 0.0
            s0 -= along * by_v
            s1 += along * by_p
            s2 += along * by_phi
            s3 += along * by_q
            s4 += by_rate * fast_along if rises else 0.0
            s5 += 0.0 if rises else by_rate * fast_along
            s6 += by_speed * fast_along
            s7 += along * by_c * (held - fast)
            s8 += by_slow_attack * held_along
            s9 += by_slow_release * held_along
            of_fast = by_fast * fast_along + along * by_c * (1.0 - share)
            of_held = held_by_held * held_along + along * by_c * share
        dzi[b, 0], dzi[b, 1] = of_fast, of_held
        dnumbers[b, 0], dnumbers[b, 1], dnumbers[b, 2], dnumbers[b, 3], dnumbers[b, 4] = s0, s1, s2, s3, s4
        dnumbers[b, 5], dnumbers[b, 6], dnumbers[b, 7], dnumbers[b, 8], dnumbers[b, 9] = s5, s6, s7, s8, s9


def optical_cell_adjoint(
    g: Tensor,
    x: Tensor,
    numbers: Tensor,
    zi: Tensor,
    states: Tensor,
    kind,
    dx: Tensor,
    dnumbers: Tensor,
    dzi: Tensor,
) -> None:
    arguments = (g, x, numbers, zi, states, *kind, dx, dnumbers, dzi)
    over_rows(_optical_cell_adjoint, x.shape[0], 2 * x.numel() * OPERATIONS, arguments, (x.dtype,))


FAST, HELD, AT_X = 10, 11, 12  # places in the scratch, after the numbers' tangents


@jit
def _optical_cell_tangent(first, last, dx, dnumbers, dzi, x, numbers, zi, states, lamp, slow, scratch, dstates):
    """All directions of a sample together: they share its slopes, and vector instructions."""
    rows, directions = x.shape[0], dzi.shape[0] // max(x.shape[0], 1)
    for b in range(first, last):
        moved = scratch[b]
        for k in range(directions):
            for i in range(numbers.shape[1]):
                moved[i, k] = dnumbers[b + k * rows, i]
            moved[FAST, k], moved[HELD, k], moved[AT_X, k] = dzi[b + k * rows, 0], dzi[b + k * rows, 1], 0.0
        share = np.float64(numbers[b, 7])
        for n in range(x.shape[1]):
            fast = np.float64(states[b, np.uintp(n - 1), 0] if n else zi[b, 0])
            held = np.float64(states[b, np.uintp(n - 1), 1] if n else zi[b, 1])
            light, by_v, by_c, by_p, by_phi, by_q = _of_light(fast, held, x[b, n], numbers, b, lamp)
            by_light, by_fast, by_rate, by_speed, rises = _of_fast(fast, light, numbers, b)
            held_by_held, held_by_fast, held_by_light, by_slow_attack, by_slow_release = _of_held(
                np.float64(states[b, n, 0]), held, np.float64(states[b, n, 1]), light, numbers, b, slow
            )
            if dx.shape[1]:
                over_x = 1.0 / x[b, n] if abs(np.float64(x[b, n])) >= SILENT else 0.0
                for k in range(directions):
                    moved[AT_X, k] = over_x * dx[b + k * rows, n]
            rate, difference = 4 if rises else 5, held - fast
            for k in range(directions):
                dfast, dheld = moved[FAST, k], moved[HELD, k]
                dc = dfast + share * (dheld - dfast) + difference * moved[7, k]
                dlight = by_v * (moved[AT_X, k] - moved[0, k]) + by_c * dc
                dlight += by_p * moved[1, k] + by_phi * moved[2, k] + by_q * moved[3, k]
                dfast = by_fast * dfast + by_light * dlight + by_rate * moved[rate, k] + by_speed * moved[6, k]
                dheld = held_by_held * dheld + held_by_fast * dfast + held_by_light * dlight
                dheld += by_slow_attack * moved[8, k] + by_slow_release * moved[9, k]
                moved[FAST, k], moved[HELD, k] = dfast, dheld
            for k in range(directions):
                dstates[b + k * rows, n, 0], dstates[b + k * rows, n, 1] = moved[FAST, k], moved[HELD, k]


def optical_cell_tangent(
    dx: Tensor,
    dnumbers: Tensor,
    dzi: Tensor,
    x: Tensor,
    numbers: Tensor,
    zi: Tensor,
    states: Tensor,
    kind,
    dstates: Tensor,
) -> None:
    directions = dzi.shape[0] // max(x.shape[0], 1)
    scratch = x.new_empty(x.shape[0], AT_X + 1, directions).double()
    arguments = (dx, dnumbers, dzi, x, numbers, zi, states, *kind, scratch, dstates)
    work = (directions * 20 + 2 * OPERATIONS) * x.numel()
    over_rows(_optical_cell_tangent, x.shape[0], work, arguments, (x.dtype,))
