"""Fitting models to recordings."""

from diffapf.identification.fit import Fit, Iteration
from diffapf.identification.least_squares import least_squares
from diffapf.identification.modules import Estimate, estimates, fit_module
from diffapf.identification.robust import Robust

__all__ = ["Estimate", "Fit", "Iteration", "Robust", "estimates", "fit_module", "least_squares"]
