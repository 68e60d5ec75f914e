"""How far a prediction is from its target: waveforms, spectra, dynamics; and how likely parameters are."""

from diffapf.losses.dynamic_range import DynamicRangeLoss
from diffapf.losses.error_to_signal import ESR, PREFILTER, LogESR, Prefiltered, esr, log_esr
from diffapf.losses.gaussian_prior import GaussianPrior
from diffapf.losses.spectral import SpectralLoss
from diffapf.losses.stereo import StereoLoss
from diffapf.losses.style import StyleLoss

__all__ = [
    "ESR",
    "PREFILTER",
    "DynamicRangeLoss",
    "GaussianPrior",
    "LogESR",
    "Prefiltered",
    "SpectralLoss",
    "StereoLoss",
    "StyleLoss",
    "esr",
    "log_esr",
]
