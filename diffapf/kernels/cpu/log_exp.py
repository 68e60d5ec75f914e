"""Logarithm and exponential as straight lines of arithmetic, which the compiler computes of several numbers at once.

The library's are calls, one number each, and take five times as long. Float64, to 2e-16 of the result: the mantissa's
logarithm is 2 artanh((m − 1)/(m + 1)), the exponential of a remainder |r| ≤ log(2)/2 its Taylor series.
"""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from diffapf.kernels.cpu.launch import step

LOG_2 = np.log(2.0)
LOG_2_HIGH = float.fromhex("0x1.62e42fee00000p-1")  # so short that its products with exponents are exact
LOG_2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
HALF_ROOT = np.uint64(0x3FE6A09E667F3BCD)  # the bits of √½: mantissas are taken from there to √2
ONE_LESS_ROOT = np.uint64(0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
MANTISSA = np.uint64(0x000FFFFFFFFFFFFF)
TO_INTEGER = 6755399441055744.0  # 1.5·2⁵²: added to a number, it leaves the nearest integer in the lowest bits
TO_INTEGER_BITS = np.uint64(0x4338000000000000)
BIAS = np.uint64(1023)
SHIFT = np.uint64(52)
LARGEST = 708.0  # |x| of which the exponential is a normal number


@intrinsic
def _bits(typing, x):
    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.uint64(types.float64), generate


@intrinsic
def _number(typing, bits):
    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.uint64), generate


@step
def log(x):
    """Of a positive normal number; NaN of infinity and of NaN."""
    bits = _bits(x) + ONE_LESS_ROOT
    exponent = _number((bits >> SHIFT) + TO_INTEGER_BITS) - (TO_INTEGER + 1023.0)
    mantissa = _number((bits & MANTISSA) + HALF_ROOT)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    z = s * s
    series = 2.0 / 19.0
    series = series * z + 2.0 / 17.0
    series = series * z + 2.0 / 15.0
    series = series * z + 2.0 / 13.0
    series = series * z + 2.0 / 11.0
    series = series * z + 2.0 / 9.0
    series = series * z + 2.0 / 7.0
    series = series * z + 2.0 / 5.0
    series = series * z + 2.0 / 3.0
    series = series * z * s + 2.0 * s
    return (exponent * LOG_2_HIGH + (series + exponent * LOG_2_LOW)) + (x - x)


@step
def exp(x):
    """Of any number; what lies beyond ±708 counts as that."""
    x = -LARGEST if x < -LARGEST else x
    x = LARGEST if x > LARGEST else x
    shifted = x * (1.0 / LOG_2) + TO_INTEGER
    count = shifted - TO_INTEGER
    r = (x - count * LOG_2_HIGH) - count * LOG_2_LOW
    series = 1.0 / 6227020800.0
    series = series * r + 1.0 / 479001600.0
    series = series * r + 1.0 / 39916800.0
    series = series * r + 1.0 / 3628800.0
    series = series * r + 1.0 / 362880.0
    series = series * r + 1.0 / 40320.0
    series = series * r + 1.0 / 5040.0
    series = series * r + 1.0 / 720.0
    series = series * r + 1.0 / 120.0
    series = series * r + 1.0 / 24.0
    series = series * r + 1.0 / 6.0
    series = series * r + 0.5
    series = series * r + 1.0
    series = series * r + 1.0
    return series * _number((_bits(shifted) + BIAS) << SHIFT)
