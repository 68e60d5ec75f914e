"""Eight samples of a fixed filter at once: the responses that they are sums of, and the steps from eight to eight.

The next eight outputs are a sum that has no recursion in it: the filter's impulse response, shifted, times each of the next
eight inputs, and for each output of the past the response to that one; where the filter has zeros, also to inputs of the
past. So a step of eight samples waits once for the outputs before it, where the recursion waits eight times.

A filter is as exact as its responses: to round them moves its poles, most where these lie close together near the unit
circle. So the responses to the past are computed to twice the digits, and in float64 used to as many, as sums of two numbers
each. The farther ahead, the more the outputs' own rounding counts, too: where the responses grow too much, the recursion has
to run instead. Signals of float32 see neither.
"""

# mypy: ignore-errors
# (code that Numba compiles, through parts of Numba that its type annotations leave out)

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numba.core import types
from numba.extending import overload

from diffapf.kernels.cpu.launch import INLINED, inline, jit
from diffapf.kernels.cpu.tuples import defined, minus, scattered, times, unrolled
from diffapf.kernels.cpu.vectors import (
    LANES,
    absolute,
    all_finite,
    filled,
    fused,
    joined,
    lane,
    load,
    packed,
    rounded_product,
    spread,
    turned,
)

GROWTH = 4.0  # of the responses to the past, from one output to eight, that costs no digit that the recursion has
NEVER_GROWS = 2  # the order up to which it is always less than 6


def impulse_response(a, count):
    """The first eight samples of the impulse response of 1/(1 + Σ aᵢ z⁻ⁱ), as a tuple."""


@overload(impulse_response)
def _impulse_response(a, count):
    lines = ["h0 = 1.0"]
    for k in range(1, LANES):
        terms = "".join(f" - a[{i}] * h{k - 1 - i}" for i in reversed(range(min(k, len(count)))))
        lines.append(f"h{k} = 0.0{terms}")
    return defined("a, count", lines, ", ".join(f"h{k}" for k in range(LANES)))


@inline
def responses_to_inputs(h):
    """For each of eight inputs, what it does to the eight outputs."""
    h0, nothing = packed(h), filled(0.0)
    h1, h2, h3 = joined(nothing, h0, 7), joined(nothing, h0, 6), joined(nothing, h0, 5)
    h4, h5, h6 = joined(nothing, h0, 4), joined(nothing, h0, 3), joined(nothing, h0, 2)
    return h0, h1, h2, h3, h4, h5, h6, joined(nothing, h0, 1)


@jit
def less_product(high, low, past, past_low, factor):
    """high + low − factor·(past + past_low), of vectors, exact to the last digits of the low part: Dekker's sum and product.

    Source: Dekker, "A floating-point technique for extending the available precision", Numerische Mathematik 18, 1971.
    """
    factors, nothing = filled(factor), filled(0.0)
    product = rounded_product(past, factors)
    lost = fused(past, factors, nothing - product) + past_low * factors
    total = high - product
    of_product = total - high
    rest = (high - (total - of_product)) - (product + of_product)
    low = low + (rest - lost)
    rounded = total + low
    return rounded, low - (rounded - total)


def responses_to_past(a, count):
    """For each output of the past, newest first, what it does to the next eight; then what is lost of that in rounding."""


@overload(responses_to_past)
def _responses_to_past(a, count):
    order = len(count)
    lines: list[str] = []
    rounded: list[str] = []
    lost: list[str] = []
    for first in range(0, order, LANES):  # of eight outputs of the past at once, what they do to one after another
        for k in range(LANES):
            direct = (f"-a[{i + k}]" if i + k < order else "0.0" for i in range(first, first + LANES))
            lines += [f"h{k} = packed(({', '.join(direct)}))", f"l{k} = filled(0.0)"]
            for j in range(min(k, order)):
                lines.append(f"h{k}, l{k} = less_product(h{k}, l{k}, h{k - 1 - j}, l{k - 1 - j}, a[{j}])")
        inside = range(min(LANES, order - first))
        for vectors, part in ((rounded, "h"), (lost, "l")):
            vectors += [f"{part}_{first + i}" for i in inside]
            for i in inside:
                lanes = (f"lane({part}{k}, {i})" for k in range(LANES))
                lines.append(f"{part}_{first + i} = packed(({', '.join(lanes)}))")
    names = {"packed": packed, "filled": filled, "lane": lane, "less_product": less_product}
    return defined("a, count", lines, f"({', '.join(rounded + lost)},)", **names)


def grows(outputs, count):
    """Whether the eighth output depends on the past in numbers much larger than the first does: Σᵢ|responseᵢ| of each."""


@overload(grows)
def _grows(outputs, count):
    lines = [
        f"reach = {' + '.join(f'absolute(outputs[{i}])' for i in range(len(count)))}",
        "first, largest = lane(reach, 0), 0.0",
    ]
    lines += [f"largest = max(largest, lane(reach, {k}))" for k in range(LANES)]
    result = f"not largest <= {GROWTH} * max(first, 1.0)"
    return defined("outputs, count", lines, result, absolute=absolute, lane=lane)


@inline
def must_recur(signal, outputs, count):
    """Whether eight at once, by these responses to the past, would be less exact than one after another."""
    return signal.itemsize == 8 and len(count) > NEVER_GROWS and grows(outputs, count)


# ---------------------------------------------------------------------------------------------------- with zeros, too
# The responses are a tuple of vectors: to eight inputs, to the M inputs before them, newest first, to the M registers, to
# the M outputs before them, and what is lost of these in rounding. In the adjoint: to eight inputs, backward in time, to the
# M outputs after them, nearest first, and what is lost of these.


def forward_responses(b, a):
    """Of b of M+1 coefficients and a of M."""


@overload(forward_responses, jit_options=INLINED)
def _forward_responses(b, a):
    order = len(a)
    lines = ["nothing, poles = filled(0.0), responses_to_inputs(impulse_response(a, a))"]
    lines.append(f"h = {_sum(f'filled(b[{i}]) * poles[{i}]' for i in range(min(order + 1, LANES)))}")
    inputs = ["h", *(f"joined(nothing, h, {LANES - k})" for k in range(1, LANES))]
    past = (_sum(f"filled(b[{i}]) * poles[{i - j}]" for i in range(j, order + 1)) for j in range(1, order + 1))
    registers = (f"poles[{k}]" for k in range(order))
    names = {"filled": filled, "joined": joined, "impulse_response": impulse_response}
    names |= {"responses_to_inputs": responses_to_inputs, "responses_to_past": responses_to_past}
    return defined("b, a", lines, f"({', '.join([*inputs, *past, *registers])},) + responses_to_past(a, a)", **names)


def backward_responses(a):
    """Of a of M coefficients."""


@overload(backward_responses, jit_options=INLINED)
def _backward_responses(a):
    lines = ["inputs = responses_to_inputs(impulse_response(a, a))", "outputs = responses_to_past(a, a)"]
    names = {"impulse_response": impulse_response, "all_turned": all_turned}
    names |= {"responses_to_inputs": responses_to_inputs, "responses_to_past": responses_to_past}
    return defined("a", lines, "all_turned(inputs[::-1] + outputs)", **names)


def all_turned(vectors):
    """Each of the vectors with its last element first."""


@overload(all_turned, jit_options=INLINED)
def _all_turned(vectors):
    return unrolled("vectors", (f"turned(vectors[{k}])" for k in range(len(vectors))), turned=turned)


def _sum(terms) -> str:
    return " + ".join(terms)


def with_eight(total, x, n, responses):
    """The total, and what samples n to n+7 contribute to eight outputs."""


@overload(with_eight, jit_options=INLINED)
def _with_eight(total, x, n, responses):
    if x.dtype == types.float64:  # as a factor, a number in memory is eight at no cost
        terms = (f" + responses[{j}] * filled(x[np.uintp(n + {j})])" for j in range(LANES))
        return defined("total, x, n, responses", (), f"total{''.join(terms)}", filled=filled)
    terms = (f" + responses[{j}] * spread(given, {j})" for j in range(LANES))
    result = f"total{''.join(terms)}"
    return defined("total, x, n, responses", ["given = load(x, n)"], result, load=load, spread=spread)


# ------------------------------------------------------------------------------------------------------- eight samples


def begun(responses, registers):
    """Where a signal begins: (what comes from the past but for the outputs, eight outputs of the past)."""


@overload(begun, jit_options=INLINED)
def _begun(responses, registers):
    order = len(registers)
    first = LANES + order
    known = _sum(f"responses[{first + k}] * filled(registers[{k}])" for k in range(order))
    return unrolled("responses, registers", (known, "filled(0.0)"), filled=filled)


def eight(x, n, past, responses, count):
    """Outputs n to n+7, and what the next eight have as their past; M is the length of `count`."""


@overload(eight, jit_options=INLINED)
def _eight(x, n, past, responses, count):
    order = len(count)
    places = [LANES - 1 - i for i in range(order)]
    lines = [f"new = with_eight(past[0], x, n, responses){_of_outputs(x, LANES + 2 * order, 'past[1]', places)}"]
    inputs = (f"responses[{LANES + j}] * filled(np.float64(x[np.uintp(n + {LANES - 1 - j})]))" for j in range(order))
    names = {"with_eight": with_eight, "spread": spread, "filled": filled}
    return defined("x, n, past, responses, count", lines, f"new, ({_sum(inputs)}, new)", **names)


def _of_outputs(signal, first: int, outputs: str, places: list[int]) -> str:
    """What outputs at these places, newest first, contribute, as terms of a sum; of responses from the `first` on.

    The newest one enters last. What is lost in rounding is added where the signal would not lose it, beside the others, so
    that nothing waits for it.
    """

    def terms(begin: int) -> Iterator[str]:
        return (f"responses[{begin + i}] * spread({outputs}, {place})" for i, place in reversed([*enumerate(places)]))

    lost = f" + ({_sum(terms(first + len(places)))})" if signal.dtype == types.float64 else ""
    return f" + {_sum(terms(first))}{lost}"


def registers_after(x, n, outputs, b, a):
    """The registers before sample n, in front of which `outputs` are eight."""


@overload(registers_after, jit_options=INLINED)
def _registers_after(x, n, outputs, b, a):
    order = len(a)

    def register(k: int) -> str:
        of_inputs = (f"b[{i}] * x[n - {1 + i - k}]" for i in range(k, order + 1))
        of_outputs = (f" - a[{i - 1}] * lane(outputs, {LANES - 1 - i + k})" for i in range(k, order + 1))
        return f"{_sum(of_inputs)}{''.join(of_outputs)}"

    return unrolled("x, n, outputs, b, a", map(register, range(1, order + 1)), lane=lane)


@jit
def rest_of(x, y, b, a, registers, n, past, check, end):
    """The recursion itself, of what is no whole vector, from n on, and of what is not finite; the registers after it."""
    if n == 0 or not all_finite(check):
        return one_by_one(x, y, b, a, registers, 0, end)
    return one_by_one(x, y, b, a, registers_after(x, n, past[1], b, a), n, end)


@jit
def one_by_one(x, y, b, a, registers, begin, end):
    for n in range(begin, end):
        now = np.float64(x[n])
        out = b[0] * now + registers[0]
        registers = minus(scattered(registers, b[1:], now), times(a, out))
        y[n] = out
    return registers


def eight_before(g, n, later, responses, count):
    """r of samples n to n+7, after which it is `later`."""


@overload(eight_before, jit_options=INLINED)
def _eight_before(g, n, later, responses, count):
    names = {"with_eight": with_eight, "spread": spread, "filled": filled}
    outputs = _of_outputs(g, LANES, "later", [*range(len(count))])
    result = f"with_eight(filled(0.0), g, n, responses){outputs}"
    return defined("g, n, later, responses, count", (), result, **names)
