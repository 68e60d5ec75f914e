"""A phaser: first-order all-passes swept by an LFO, with feedback around them, mixed with the signal itself.

    x ── biquad ── u ──(+)── e ── all-pass × K, coefficient p(t) ── w ──(+)── y
                   │    │                                           │    │
                   │    └──────────── loop filter ◀─────────────────┘    │
                   └───────────────────── through gain g₁ ───────────────┘

The LFO's value is shaped, becomes a break frequency, and moves p. For circuits that ask for more than the published model
there are an LFO of any shape (`FourierLFO`), AC-coupled feedback, filters of any order, and one of its own for the dry path.
Two cores compute the same model:

- "cascade": stages as stages, the loop without delay solved at each sample (`filters/allpass.py`), v = artanh p
  interpolated from the control rate. Accurate in float32; the default.
- "paper": one filter of order K + 2, whose coefficients are interpolated, as published. Always in float64: in float32
  its coincident poles leave the unit circle for p > 0.98. For parity with the published results.

Source: Yu, Mitcheltree, Carson, Bilbao, Reiss, Fazekas, "Differentiable All-pole Filters for Time-varying Audio Systems",
DAFx 2024, sections 4.1 and 5.1.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from types import NoneType
from typing import Any

import torch
from torch import Tensor, nn

from diffapf.effects.effect import Effect
from diffapf.effects.free_filters import FreeFilter, InputBiquad, delay_taps
from diffapf.effects.sweeps import SWEEPS, LogFrequencySweep, OctaveSweep, PaperSweep
from diffapf.filters._rows import REAL, check_signal
from diffapf.filters.allpass import allpass_cascade
from diffapf.filters.control_rate import ControlRate
from diffapf.filters.design import (
    allpass_logit,
    first_order_highpass,
    integer_power,
    polynomial_product,
    polynomial_response,
)
from diffapf.filters.iir import fixed_filter
from diffapf.filters.methods import ControlRateFilter, FrequencySampling, TimeDomain, TransferFunction
from diffapf.modulation import LFO, FourierLFO, WaveShaper
from diffapf.parameters import BOUND, Named, absolute, bounded, is_finite_number

CORES = ("cascade", "paper")


@dataclass
class PhaserState:
    """Where a stream is: samples since its start, and the filters' memories."""

    samples: int = 0
    memory: Any = None


class Phaser(Effect):
    """A phaser with an LFO of its own; see the module for the signal flow. 182 learnable numbers as published.

    Args:
        sample_rate: in Hz.
        core: "cascade" or "paper".
        stages: K, the number of all-passes; each pair makes one notch.
        loop_delay: 0 or 1 samples in the feedback loop ("cascade" only).
        feedback_highpass_hz: corner of a first-order high-pass in the loop, learnable: AC-coupled feedback ("cascade"
            only); None: a plain gain.
        feedback_floor: the share of the feedback that the high-pass leaves at 0 Hz, |feedback_floor| < 0.999, learnable;
            None: nothing.
        filter_order: the input filter's order, from 1 to 8; None: a biquad, as published.
        dry_filter: a filter of its own, of that order, for the through path, instead of g₁ ("cascade" only).
        delay_us: how late all of it comes, in µs, learnable: what a recording's latency is beside whole samples. Meant for
            −1 to 3 samples; see `delay_taps`. None: nothing, at no cost.
        hop_seconds: the control rate's period.
        align_corners: the published spacing of control frames over a whole signal; streaming needs False.
        lfo, shaper, sweep: how p moves; `sweep` also by name, "log_frequency", "octaves" or "paper"; `shaper` also by its
            arguments; `lfo` also by those of a `FourierLFO`, which has no shaper and sweeps by "octaves".
        through, feedback: g₁, and the loop's gain, |feedback| < 1.
        method: `TimeDomain()` or `FrequencySampling()`.
        learned_at: the rate, in Hz, that the biquad's coefficients (and the paper's sweep) belong to; `sample_rate` by
            default.

    Raises:
        ValueError: an argument outside what is said here; the message names it.
        TypeError: an lfo, shaper or sweep that is none, or with arguments that there are not; flags that are no booleans.

    >>> phaser = Phaser(44100)
    >>> phaser(torch.randn(2, 4410)).shape
    torch.Size([2, 4410])
    """

    def __init__(
        self,
        sample_rate: float,
        core: str = "cascade",
        stages: int = 4,
        loop_delay: int = 0,
        feedback_highpass_hz: float | None = None,
        feedback_floor: float | None = None,
        filter_order: int | None = None,
        dry_filter: bool = False,
        delay_us: float | None = None,
        hop_seconds: float = 0.01,
        align_corners: bool = False,
        lfo: LFO | FourierLFO | dict[str, Any] | None = None,
        shaper: WaveShaper | dict[str, Any] | None = None,
        sweep: nn.Module | str | None = None,
        through: float = 1.0,
        feedback: float = 0.0,
        method: TimeDomain | FrequencySampling | None = None,
        learned_at: float | None = None,
    ):
        super().__init__(sample_rate)
        if core not in CORES:
            raise ValueError(f"core must be one of {CORES}, got {core!r}")
        if not isinstance(stages, int) or isinstance(stages, bool) or stages < 1:
            raise ValueError(f"stages must be a positive integer, got {stages!r}")
        if loop_delay not in (0, 1):
            raise ValueError(f"loop_delay must be 0 or 1 samples, got {loop_delay!r}")
        if not abs(feedback) < 1:
            raise ValueError(f"feedback must lie between −1 and 1 for a stable loop, got {feedback}")
        for name, value in (("learned_at", learned_at), ("feedback_highpass_hz", feedback_highpass_hz)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, in Hz, got {value}")
        if core == "paper" and (loop_delay or feedback_highpass_hz is not None or dry_filter):
            raise ValueError(
                "loop_delay, feedback_highpass_hz and dry_filter need core='cascade'; the paper's has none"
            )
        if feedback_floor is not None and feedback_highpass_hz is None:
            raise ValueError("feedback_floor is what feedback_highpass_hz leaves at 0 Hz: give that too")
        if feedback_floor is not None and not (is_finite_number(feedback_floor) and abs(feedback_floor) < BOUND):
            raise ValueError(f"feedback_floor must be a share within ±{BOUND}, got {feedback_floor!r}")
        if filter_order is not None and (type(filter_order) is not int or not 0 < filter_order <= 8):
            raise ValueError(f"filter_order must be an integer from 1 to 8, or None, got {filter_order!r}")
        if not isinstance(dry_filter, bool):
            raise TypeError(f"dry_filter must be True or False, got {dry_filter!r}")
        if dry_filter and filter_order is None:
            raise ValueError("dry_filter needs filter_order, the order of both filters")
        if delay_us is not None and not is_finite_number(delay_us):
            raise ValueError(f"delay_us must be a finite number of µs, or None, got {delay_us!r}")
        if not isinstance(lfo, (LFO, FourierLFO, dict, NoneType)):
            raise TypeError(f"lfo must be an LFO, a FourierLFO or its arguments by name, got {lfo!r}")
        if not isinstance(shaper, (WaveShaper, dict, NoneType)):
            raise TypeError(f"shaper must be a WaveShaper or its arguments by name, got {shaper!r}")
        if not isinstance(sweep, (nn.Module, str, NoneType)):
            raise TypeError(f"sweep must be one of {sorted(SWEEPS)} or a module, got {sweep!r}")
        self.lfo = FourierLFO(**lfo) if isinstance(lfo, dict) else lfo or LFO()
        periodic = isinstance(self.lfo, FourierLFO)
        sweep = ("octaves" if periodic else "log_frequency") if sweep is None else sweep
        if periodic and shaper is not None:
            raise ValueError("a FourierLFO has its shape: it takes no shaper")
        if not hop_seconds > 0:
            raise ValueError(f"hop_seconds must be positive, got {hop_seconds}")
        if isinstance(sweep, str) and sweep not in SWEEPS:
            raise ValueError(f"sweep must be one of {sorted(SWEEPS)} or a module, got {sweep!r}")
        self.core, self.stages, self.loop_delay, self.align_corners = core, stages, loop_delay, align_corners
        self.hop_seconds = hop_seconds
        self.learned_at = sample_rate if learned_at is None else learned_at
        self.shaper: nn.Module
        if periodic:
            self.shaper = nn.Identity()
        else:
            self.shaper = shaper if isinstance(shaper, WaveShaper) else WaveShaper(**(shaper or {}))
        self.sweep = SWEEPS[sweep](self.learned_at) if isinstance(sweep, str) else sweep
        self.biquad = InputBiquad() if filter_order is None else FreeFilter(filter_order)
        self.filter_order = filter_order
        self.through = Named(through, "", 0.0, 2.0)
        self.dry_filter = FreeFilter(filter_order, through) if dry_filter and filter_order is not None else None
        self.through.step.requires_grad_(not dry_filter)
        mapping = absolute if core == "paper" else bounded
        self.feedback = Named(feedback, "", 0.0 if core == "paper" else -0.99, 0.99, mapping=mapping)
        self.feedback_highpass_hz = (
            None if feedback_highpass_hz is None else Named(feedback_highpass_hz, "Hz", 1.0, 2000.0, taper="log")
        )
        self.feedback_floor = (
            None if feedback_floor is None else Named(feedback_floor, "", -0.99, 0.99, mapping=bounded)
        )
        self.delay_us = None if delay_us is None else Named(delay_us, "µs", -20.0, 60.0)
        self.method = method or TimeDomain()

    @property
    def hop(self) -> int:
        """Samples a control frame."""
        return max(1, round(self.hop_seconds * self.sample_rate))

    def configuration(self) -> dict[str, Any]:
        highpass, floor = self.feedback_highpass_hz, self.feedback_floor
        names = {LogFrequencySweep: "log_frequency", OctaveSweep: "octaves", PaperSweep: "paper"}
        if type(self.sweep) not in names:
            kind = type(self.sweep).__name__
            raise ValueError(f"a preset cannot hold the sweep {kind}; it can be {', '.join(names.values())}")
        network = self.shaper if isinstance(self.shaper, WaveShaper) else None
        return {
            "core": self.core,
            "stages": self.stages,
            "loop_delay": self.loop_delay,
            "feedback_highpass_hz": None if highpass is None else highpass().item(),
            "feedback_floor": None if floor is None else floor().item(),
            "filter_order": self.filter_order,
            "dry_filter": self.dry_filter is not None,
            "delay_us": None if self.delay_us is None else self.delay_us().item(),
            "hop_seconds": self.hop_seconds,
            "align_corners": self.align_corners,
            "lfo": self.lfo.configuration() if isinstance(self.lfo, FourierLFO) else None,
            "sweep": names[type(self.sweep)],
            "shaper": network and {name: getattr(network, name) for name in ("width", "hidden", "residual")},
            "learned_at": self.learned_at,
        }

    def set_parameters(self, values: dict[str, float]) -> None:
        super().set_parameters(values)
        if isinstance(self.lfo, LFO):
            self.lfo.damping.step.requires_grad_(self.lfo.damping().item() != 0.0)

    def at_sample_rate(self, sample_rate: float) -> Phaser:
        """A copy that sounds the same at another rate: what was learned as digital coefficients is converted."""
        if not sample_rate > 0:
            raise ValueError(f"sample_rate must be positive, in Hz, got {sample_rate}")
        if self.loop_delay and sample_rate != self.sample_rate:
            raise ValueError("a loop delay of one sample is another time at another rate; use loop_delay=0")
        other = copy.deepcopy(self)
        other.sample_rate = sample_rate
        return other

    def break_frequencies(self, seconds: Tensor) -> Tensor:
        """The all-passes' break frequency in Hz at control times in seconds."""
        return self.sweep(self.shaper(self.lfo(seconds)).double())

    def filter_at(self, first_sample: int, frames: int, rate: ControlRate, dtype: torch.dtype) -> ControlRateFilter:
        """The filter whose control frames begin at a sample of the LFO's clock."""
        device = self.through.reference.device
        frame = torch.arange(frames, dtype=torch.float64, device=device)
        v = allpass_logit(
            self.break_frequencies((first_sample + frame * self.hop) / self.sample_rate), self.sample_rate
        )
        ratio = self.sample_rate / self.learned_at
        biquad = self._delayed(self.biquad(ratio))
        if self.core == "paper":
            return direct_form(torch.tanh(v), self.stages, self.through(), self.feedback(), biquad, self.hop, rate)
        b, a = (coefficients.to(dtype) for coefficients in biquad)
        dry = None
        if self.dry_filter is not None:
            dry_b, dry_a = (coefficients.to(dtype) for coefficients in self._delayed(self.dry_filter(ratio)))
            dry = dry_b, dry_a
        through, loop = self.through().to(dtype), self._loop(dtype)
        return AllpassLoopFilter(v.to(dtype), rate, self.hop, self.stages, through, loop, self.loop_delay, b, a, dry)

    def filter_of_block(self, first_sample: int, length: int, dtype: torch.dtype) -> ControlRateFilter:
        """The filter over a block that begins at any sample of the LFO's clock; its frames are those of the whole."""
        first_frame = first_sample // self.hop
        offset = first_sample - first_frame * self.hop
        frames = (offset + length - 1) // self.hop + 2
        return self.filter_at(first_frame * self.hop, frames, ControlRate.hop(self.hop, offset), dtype)

    def _delayed(self, coefficients: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """A filter (b, a) and the delay after it, as one: its numerator times the delay's taps."""
        if self.delay_us is None:
            return coefficients
        b, a = coefficients
        return polynomial_product(b, delay_taps(1e-6 * self.sample_rate * self.delay_us())), a

    def _loop(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """(c₀, c₁, a) of the loop filter."""
        gain = self.feedback()
        if self.feedback_highpass_hz is None:
            taps = gain, gain.new_zeros(()), gain.new_zeros(())
        else:
            b0, b1, a = first_order_highpass(self.feedback_highpass_hz(), self.sample_rate)
            if self.feedback_floor is not None:
                floor = self.feedback_floor()
                b0, b1 = b0 + floor * (1 - b0), b1 - floor * (a + b1)
            taps = gain * b0, gain * b1, a
        return tuple(tap.to(dtype) for tap in taps)  # type: ignore[return-value]

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """Applies the effect to `(..., time)`; `start` is the first sample's place on the LFO's clock."""
        check_signal("x", x, dtypes=REAL)
        time = x.shape[-1]
        if self.align_corners:
            frames = time // self.hop + 1
            rate = ControlRate.align_corners(frames, time)
        else:
            frames = (time - 1) // self.hop + 2
            rate = ControlRate.hop(self.hop)
        dtype = torch.float64 if self.core == "paper" else x.dtype
        return self.method(x.to(dtype), self.filter_at(start, frames, rate, dtype)).to(x.dtype)

    def initial_state(self) -> PhaserState:
        return PhaserState()

    @torch.no_grad()
    def process(self, block: Tensor, state: PhaserState) -> tuple[Tensor, PhaserState]:
        """The next block of a stream, in the time domain: any cut into blocks gives what `forward` gives of the whole."""
        check_signal("block", block, dtypes=REAL)
        if self.align_corners:
            raise ValueError("align_corners=True spreads the frames over a whole signal: it cannot stream")
        if block.shape[-1] == 0:
            return block, state
        dtype = torch.float64 if self.core == "paper" else block.dtype
        part = self.filter_of_block(state.samples, block.shape[-1], dtype)
        y, memory = part.run(block.to(dtype), state.memory)
        return y.to(block.dtype), PhaserState(state.samples + block.shape[-1], memory)

    @torch.no_grad()
    def notches(self, seconds: Tensor, count: int | None = None) -> Tensor:
        """The frequencies in Hz of the deepest dips of the response at each time, lowest first: `(times, count)`.

        Where fewer are found the rest is NaN. By default a notch for each pair of stages.
        """
        count = self.stages // 2 if count is None else count
        v = allpass_logit(self.break_frequencies(seconds), self.sample_rate)
        grid = torch.logspace(math.log10(20), math.log10(0.45 * self.sample_rate), 2000, dtype=torch.float64)
        loop = self._loop(torch.float64)
        omega = 2 * math.pi * grid / self.sample_rate
        through: Tensor = self.through()
        if self.dry_filter is not None:
            ratio = self.sample_rate / self.learned_at
            (dry_b, dry_a), (b, a) = self.dry_filter(ratio), self.biquad(ratio)
            through = filter_response(dry_b, dry_a, omega) / filter_response(b, a, omega)
        response = allpass_loop_response(torch.tanh(v), self.stages, through, loop, self.loop_delay, omega).abs()
        inner = response[:, 1:-1]
        dip = (inner < response[:, :-2]) & (inner <= response[:, 2:])
        depth = torch.where(dip, inner, torch.inf)
        lowest, where = depth.topk(min(count, depth.shape[1]), dim=1, largest=False)
        found = torch.where(torch.isfinite(lowest), grid[1:-1][where], torch.nan)
        return found.sort(dim=1).values


@dataclass
class AllpassLoopFilter:
    """The cascade core at the control rate; v `(frames,)` is artanh p."""

    v: Tensor
    rate: ControlRate
    hop: int
    stages: int
    through: Tensor
    loop: tuple[Tensor, Tensor, Tensor]
    loop_delay: int
    b: Tensor
    a: Tensor
    dry: tuple[Tensor, Tensor] | None = None

    def run(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        past, inside, past_dry = state or (None, None, None)
        u, past = fixed_filter(self.b, self.a, x, past)
        y, inside = allpass_cascade(
            u,
            None,
            self.stages,
            *self.loop,
            self.loop_delay,
            inside,
            return_zf=True,
            artanh_p=self.v,
            hop=self.rate,
            through=self.through if self.dry is None else 0.0,
        )
        if self.dry is not None:
            dry, past_dry = fixed_filter(*self.dry, x, past_dry)
            y = y + dry
        return y, (past, inside, past_dry)

    def response(self, omega: Tensor) -> Tensor:
        biquad, p = filter_response(self.b, self.a, omega), torch.tanh(self.v)
        if self.dry is None:
            return biquad * allpass_loop_response(p, self.stages, self.through, self.loop, self.loop_delay, omega)
        wet = allpass_loop_response(p, self.stages, torch.zeros_like(self.through), self.loop, self.loop_delay, omega)
        return filter_response(*self.dry, omega) + biquad * wet


def filter_response(b: Tensor, a: Tensor, omega: Tensor) -> Tensor:
    return polynomial_response(b, omega) / polynomial_response(a, omega)


def allpass_loop_response(
    p: Tensor, stages: int, through: Tensor, loop: tuple[Tensor, Tensor, Tensor], loop_delay: int, omega: Tensor
) -> Tensor:
    """g₁ + Aᴷ/(1 − L Aᴷ), A = (p − z⁻¹)/(1 − p z⁻¹), L = z⁻ᵈ (c₀ + c₁ z⁻¹)/(1 − a z⁻¹): `(frames, bins)`."""
    delay = torch.exp(-1j * omega)
    stage = (p[:, None] - delay) / (1 - p[:, None] * delay)
    chain = integer_power(stage, stages)
    c0, c1, a = loop
    feedback = delay**loop_delay * (c0 + c1 * delay) / (1 - a * delay)
    return through + chain / (1 - feedback * chain)


def direct_form(
    p: Tensor,
    stages: int,
    through: Tensor,
    feedback: Tensor,
    biquad: tuple[Tensor, Tensor],
    hop: int,
    rate: ControlRate,
) -> TransferFunction:
    """The paper's core: BQ · (g₁ (A − g₂ B) + B)/(A − g₂ B), A = (1 − p z⁻¹)ᴷ and B its reverse, for p `(frames,)`."""
    k = torch.arange(stages + 1, device=p.device)
    binomial = torch.tensor(
        [math.comb(stages, i) * (-1) ** i for i in range(stages + 1)], dtype=p.dtype, device=p.device
    )
    a = binomial * p[:, None] ** k
    b = a.flip(1) * (-1) ** stages
    denominator = a - feedback * b
    scale = denominator[:, :1]
    numerator = polynomial_product(biquad[0], (through * denominator + b) / scale)
    return TransferFunction(numerator, polynomial_product(biquad[1], denominator / scale)[:, 1:], hop, rate)


def paper_phaser(
    sample_rate: float,
    hop_seconds: float,
    rate_hz: float | None = None,
    phase: float | None = None,
    damping: float = 0.6,
) -> Phaser:
    """The published model as it begins training: random LFO, sweep and shape, drawn in the published code's order.

    `rate_hz` and `phase` (rad) replace what was drawn. Seed with `torch.manual_seed`.

    Source: DAFx 2024, section 5.1, and the released code.
    """
    depth, bias = 0.5 * float(torch.rand(())), 0.1 * float(torch.rand(()))
    omega, phi = 0.1 * float(torch.randn(())), float(torch.randn(()))
    frames_a_second = sample_rate / max(1, round(hop_seconds * sample_rate))
    hz_for_a_radian_a_frame = frames_a_second / (2 * math.pi)
    lfo = LFO(
        omega * hz_for_a_radian_a_frame if rate_hz is None else rate_hz,
        phi if phase is None else phase,
        damping=damping,
    )
    lfo.rate_hz.rescale(hz_for_a_radian_a_frame)
    return Phaser(
        sample_rate,
        core="paper",
        hop_seconds=hop_seconds,
        align_corners=True,
        lfo=lfo,
        sweep=PaperSweep(bias, depth, sample_rate),
        shaper=WaveShaper(residual=False),
        through=1.0,
        feedback=0.01,
    )
