"""What a fit starts from, found in a dry and a wet recording, and how it descends: no lucky place is needed."""

from diffapf.identification.compressor_fit import CompressorFit, NotACompressorError, fit_compressor
from diffapf.identification.delay_fit import DelayFit, fit_delay
from diffapf.identification.equalizer_fit import EqualizerFit, fit_equalizer
from diffapf.identification.fit import Fit, Iteration
from diffapf.identification.hessians import hessian
from diffapf.identification.least_squares import least_squares
from diffapf.identification.levelling_amplifier_fit import fit_levelling_amplifier
from diffapf.identification.modules import Estimate, estimates, fit_module, minimise_module
from diffapf.identification.newton import Minimum, newton
from diffapf.identification.phaser import PhaserStart, identify_phaser
from diffapf.identification.phaser_fit import NotIdentifiedError, PhaserFit, fit_phaser
from diffapf.identification.plate_fit import NotAPlateError, PlateFit, fit_plate
from diffapf.identification.robust import Robust

__all__ = [
    "CompressorFit",
    "DelayFit",
    "EqualizerFit",
    "Estimate",
    "Fit",
    "Iteration",
    "Minimum",
    "NotACompressorError",
    "NotAPlateError",
    "NotIdentifiedError",
    "PhaserFit",
    "PhaserStart",
    "PlateFit",
    "Robust",
    "estimates",
    "fit_compressor",
    "fit_delay",
    "fit_equalizer",
    "fit_levelling_amplifier",
    "fit_module",
    "fit_phaser",
    "fit_plate",
    "hessian",
    "identify_phaser",
    "least_squares",
    "minimise_module",
    "newton",
]
