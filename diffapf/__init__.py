"""diffapf: differentiable audio effects and synthesisers built on recursive filters."""

from diffapf.effects.chain import VocalChain
from diffapf.effects.comb import Comb
from diffapf.effects.compressor import Compressor
from diffapf.effects.delay import PingPongDelay
from diffapf.effects.effect import Effect
from diffapf.effects.equalizer import Band, Equalizer
from diffapf.effects.levelling_amplifier import LevellingAmplifier
from diffapf.effects.phaser import Phaser
from diffapf.effects.plate import Plate
from diffapf.effects.reverb import Reverb
from diffapf.effects.simply_supported_plate import MetalPlate, Modes
from diffapf.filters.allpass import allpass_cascade
from diffapf.filters.allpole import allpole
from diffapf.filters.apply_gain import apply_gain
from diffapf.filters.ballistics import ballistics
from diffapf.filters.circle_sampling import CircleSampling
from diffapf.filters.comb import comb
from diffapf.filters.control_rate import ControlRate
from diffapf.filters.delay_network import delay_network
from diffapf.filters.design import companion, parallel_form
from diffapf.filters.fir import fir
from diffapf.filters.frequency_sampling import frequency_sampled_filter
from diffapf.filters.gain_curve import gain_curve
from diffapf.filters.iir import lfilter
from diffapf.filters.methods import FrequencySampling, TimeDomain
from diffapf.filters.modal import modal_filter, modal_impulse_response
from diffapf.filters.nonlinear import nonlinear_recurrence
from diffapf.filters.optical_cell import optical_cell
from diffapf.filters.parallel import parallel_filter
from diffapf.filters.recurrence import linear_recurrence
from diffapf.filters.sos import sosfilt
from diffapf.filters.spline import cubic_spline_upsample
from diffapf.filters.stability import is_stable
from diffapf.filters.state_space import diagonal_state_space, state_space
from diffapf.filters.zero_phase import filtfilt, lfilter_zi, lfiltic
from diffapf.modulation import LFO, FourierLFO
from diffapf.synths.acid import AcidSynth, Note
from diffapf.synths.patch import AcidPatch
from diffapf.synths.vocoder import Vocoder
from diffapf.synths.voice_patch import VoicePatch

__version__ = "0.1.0"

__all__ = [
    "LFO",
    "AcidPatch",
    "AcidSynth",
    "Band",
    "CircleSampling",
    "Comb",
    "Compressor",
    "ControlRate",
    "Effect",
    "Equalizer",
    "FourierLFO",
    "FrequencySampling",
    "LevellingAmplifier",
    "MetalPlate",
    "Modes",
    "Note",
    "Phaser",
    "PingPongDelay",
    "Plate",
    "Reverb",
    "TimeDomain",
    "VocalChain",
    "Vocoder",
    "VoicePatch",
    "allpass_cascade",
    "allpole",
    "apply_gain",
    "ballistics",
    "comb",
    "companion",
    "cubic_spline_upsample",
    "delay_network",
    "diagonal_state_space",
    "filtfilt",
    "fir",
    "frequency_sampled_filter",
    "gain_curve",
    "is_stable",
    "lfilter",
    "lfilter_zi",
    "lfiltic",
    "linear_recurrence",
    "modal_filter",
    "modal_impulse_response",
    "nonlinear_recurrence",
    "optical_cell",
    "parallel_filter",
    "parallel_form",
    "sosfilt",
    "state_space",
]
