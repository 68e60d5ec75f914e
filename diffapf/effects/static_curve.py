"""A compressor's static curve as a module: threshold, ratio, knee, and an expander below."""

from __future__ import annotations

import math

from torch import Tensor, nn

from diffapf.filters.gain_curve import gain_curve
from diffapf.parameters import Named, above_one, below_one


class StaticCurve(nn.Module):
    """From level to gain; see `filters/gain_curve.py` for the equation.

    Args:
        threshold_db: T.
        ratio: R ≥ 1; infinite: a limiter, whose ratio is not learned.
        knee_db: the knee's width, learnable; None: a hard knee.
        expander_threshold_db, expander_ratio: E and 0 < Rₑ ≤ 1; None: no expander.
    """

    def __init__(
        self,
        threshold_db: float,
        ratio: float,
        knee_db: float | None,
        expander_threshold_db: float | None,
        expander_ratio: float | None,
    ):
        super().__init__()
        self.threshold_db = Named(threshold_db, "dB", -60.0, 0.0)
        self.ratio = None if ratio == math.inf else Named(ratio, "", 1.0, 20.0, "log", above_one)
        self.knee_db = None if knee_db is None else Named(knee_db, "dB", 0.1, 40.0, "log")
        self.expander_threshold_db, self.expander_ratio = None, None
        if expander_threshold_db is not None and expander_ratio is not None:
            self.expander_threshold_db = Named(expander_threshold_db, "dB", -90.0, 0.0)
            self.expander_ratio = Named(expander_ratio, "", 0.05, 1.0, "log", below_one)

    def forward(self, level: Tensor, unit: str = "dB", decibels: bool = True) -> Tensor:
        """The gain at a level in `unit`, "amplitude", "power" or "dB"; in dB, or linear."""

        def value(number: Named | None) -> Tensor | None:
            return None if number is None else number().to(level.dtype)

        return gain_curve(
            level,
            value(self.threshold_db),  # type: ignore[arg-type]
            math.inf if self.ratio is None else self.ratio().to(level.dtype),
            0.0 if self.knee_db is None else self.knee_db().to(level.dtype),
            value(self.expander_threshold_db),
            value(self.expander_ratio),
            unit,
            decibels,
        )
