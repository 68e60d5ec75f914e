"""How far a prediction is from its target: waveforms, spectra, dynamics; and how likely parameters are."""

from diffapf.losses.dynamic_range import DynamicRangeLoss
from diffapf.losses.error_to_signal import ESR, PREFILTER, Prefiltered, esr
from diffapf.losses.gaussian_prior import GaussianPrior
from diffapf.losses.spectral import SpectralLoss
from diffapf.losses.stereo import StereoLoss

__all__ = ["ESR", "PREFILTER", "DynamicRangeLoss", "GaussianPrior", "Prefiltered", "SpectralLoss", "StereoLoss", "esr"]
