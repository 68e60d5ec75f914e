"""Numbers as a reader wants them: units, a sensible number of digits, a true minus sign."""

from __future__ import annotations

import math
from datetime import datetime

_THIN = "\u202f"  # narrow no-break space, between a number and its unit
_INITIALS = {"dc", "fs", "l1", "lfo", "mfcc", "mss", "q", "td"}
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def significant(value: float, digits: int = 4) -> str:
    """A number with as many significant digits as are of use; digits before the point are never rounded away.

    >>> significant(0.302113), significant(-12345.6), significant(0.5), significant(1.5e-7)
    ('0.3021', '−12346', '0.5', '1.5×10⁻⁷')
    """
    if not math.isfinite(value):
        return _not_finite(value)
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if not -5 < exponent < 7:
        mantissa, power = f"{value:.{digits - 1}e}".split("e")
        return _minus(f"{_trim(mantissa)}×10{str(int(power)).translate(_SUPERSCRIPTS)}")
    return _minus(_trim(f"{value:.{max(0, digits - 1 - exponent)}f}"))


def with_error(value: float, standard_error: float | None) -> str:
    """A number to the digits that its standard error leaves meaningful, two of the error's own.

    >>> with_error(0.302113, 0.00123), with_error(1234.5, 27.0), with_error(0.302113, None)
    ('0.3021 ± 0.0012', '1234 ± 27', '0.3021')
    """
    if standard_error is None or not math.isfinite(standard_error) or not math.isfinite(value) or standard_error <= 0:
        return significant(value)
    decimals = max(0, 1 - math.floor(math.log10(standard_error)))
    if decimals > 8:
        return f"{significant(value)} ± {significant(standard_error, 2)}"
    return _minus(f"{value:.{decimals}f} ± {standard_error:.{decimals}f}")


def percent(fraction: float) -> str:
    """A fraction as a percentage with three significant digits.

    >>> percent(0.00123).replace(_THIN, " ")
    '0.123 %'
    """
    if not math.isfinite(fraction):
        return _not_finite(fraction)
    return f"{significant(100 * fraction, 3)}{_THIN}%"


def decibels(power_ratio: float) -> str:
    """A ratio of energies in dB; 0 is −∞ dB and what has no logarithm is an empty string.

    >>> decibels(0.01).replace(_THIN, " ")
    '−20.0 dB'
    """
    if not math.isfinite(power_ratio) or power_ratio < 0:
        return ""
    level = f"{10 * math.log10(power_ratio):.1f}" if power_ratio > 0 else "-∞"
    return _minus(f"{level}{_THIN}dB")


def with_unit(number: str, unit: str) -> str:
    """A number and its unit, kept on one line."""
    return f"{number}{_THIN}{unit}" if unit else number


def spelled(name: str, unit: str = "") -> str:
    """A name of code as a reader has it, without the unit at its end.

    >>> spelled("mss_td"), spelled("q"), spelled("gain_db", "dB"), spelled("osc_dc")
    ('MSS TD', 'Q', 'gain', 'osc DC')
    """
    words = name.removesuffix(f"_{unit.lower()}").split("_")
    return " ".join(word.upper() if word in _INITIALS else word for word in words)


def duration(seconds: float) -> str:
    """A duration as a person says it.

    >>> duration(0.42), duration(192.3), duration(7500)
    ('0.4 s', '3 min 12 s', '2 h 5 min')
    """
    if not math.isfinite(seconds):
        return _not_finite(seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def date(iso: str) -> str:
    """An ISO 8601 time as a date and a time of day; what is not one stays as it is.

    >>> date("2025-05-04T09:30:12+02:00"), date("yesterday")
    ('4 May 2025, 09:30', 'yesterday')
    """
    try:
        # Python 3.10 does not read the "Z" of UTC.
        moment = datetime.fromisoformat(iso.replace("Z", "+00:00"))
    except ValueError:
        return iso
    return f"{moment.day} {moment:%B %Y, %H:%M}"


def _trim(number: str) -> str:
    return number.rstrip("0").rstrip(".") if "." in number else number


def _minus(number: str) -> str:
    return number.replace("-", "−", 1) if number.startswith("-") else number


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"
