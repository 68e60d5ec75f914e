"""diffapf: differentiable audio effects and synthesisers built on recursive filters."""

from diffapf.effects.effect import Effect
from diffapf.effects.phaser import Phaser
from diffapf.filters.allpass import allpass_cascade
from diffapf.filters.allpole import allpole
from diffapf.filters.control_rate import ControlRate
from diffapf.filters.fir import fir
from diffapf.filters.methods import FrequencySampling, TimeDomain
from diffapf.modulation import LFO

__version__ = "0.1.0"

__all__ = [
    "LFO",
    "ControlRate",
    "Effect",
    "FrequencySampling",
    "Phaser",
    "TimeDomain",
    "allpass_cascade",
    "allpole",
    "fir",
]
